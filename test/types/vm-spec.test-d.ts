import type { DiskConfig, VmChanges, VmFilter, VmSpec } from 'awaitvm'
import type { InferOutput, ObjectSchema } from 'valibot'
import { expectTypeOf, test } from 'vitest'
import type { vmChangesSchema, vmFilterEntries, vmSpecSchema } from '../../src/model/vm-spec.js'

type Valid = InferOutput<typeof vmSpecSchema>
type Adapter<S extends Pick<VmSpec, 'networkAdapters'>> = NonNullable<S['networkAdapters']>[number]
type Forward<S extends Pick<VmSpec, 'networkAdapters'>> = NonNullable<Adapter<S>['portForwards']>[number]

test('the schema of a spec gives specs, with all of their settings', () => {
  expectTypeOf<Valid>().toExtend<VmSpec>()
  expectTypeOf<keyof Valid>().toEqualTypeOf<keyof VmSpec>()
  expectTypeOf<keyof NonNullable<Valid['boot']>>().toEqualTypeOf<keyof NonNullable<VmSpec['boot']>>()
  expectTypeOf<keyof NonNullable<Valid['disks']>[number]>().toEqualTypeOf<keyof NonNullable<VmSpec['disks']>[number]>()
  expectTypeOf<keyof Adapter<Valid>>().toEqualTypeOf<keyof Adapter<VmSpec>>()
  expectTypeOf<keyof Forward<Valid>>().toEqualTypeOf<keyof Forward<VmSpec>>()
})

test('the schema of changes gives changes', () => {
  expectTypeOf<InferOutput<typeof vmChangesSchema>>().toExtend<VmChanges>()
  expectTypeOf<keyof InferOutput<typeof vmChangesSchema>>().toEqualTypeOf<keyof VmChanges>()
})

test('disks of a VM can be edited, and can not be given to another VM', () => {
  type Edited = NonNullable<VmChanges['disks']>[number]
  expectTypeOf<DiskConfig>().toExtend<Edited>()
  expectTypeOf<{ readonly id: string }>().toExtend<Edited>()
  expectTypeOf<{ readonly sizeMiB: number }>().toExtend<Edited>()
  expectTypeOf<DiskConfig>().not.toExtend<NonNullable<VmSpec['disks']>[number]>()
})

test('the schema of a filter gives filters', () => {
  type Filter = InferOutput<ObjectSchema<typeof vmFilterEntries, undefined>>
  expectTypeOf<Filter>().toExtend<VmFilter>()
  expectTypeOf<keyof Filter>().toEqualTypeOf<keyof VmFilter>()
})
