import * as v from 'valibot'
import { namedTexts, text } from './schema.js'

/**
 * Names and values of a user's own, by which `server.getVmList({ labels })` finds VMs.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('qmp:///srv/vms').unwrap()
 * await server.createVm({ name: 'ci-1', labels: { job: '4711' } }).unwrap()
 * for (const vm of await server.getVmList({ labels: { job: '4711' } }).unwrap()) await vm.delete({ force: true })
 * ```
 */
export type VmLabels = Readonly<Record<string, string>>

const maxLabels = 64
const maxNameLength = 128
const maxValueLength = 1024
const namePattern = /^[a-zA-Z0-9](?:[\w./-]*[a-zA-Z0-9])?$/

const nameSchema = v.pipe(
  text,
  v.check(
    (name) => name.length <= maxNameLength && namePattern.test(name),
    `is not the name of a label: 1 to ${String(maxNameLength)} letters, digits, ".", "_", "/" and "-", with a letter or a digit at both ends`,
  ),
)

const valueSchema = v.pipe(
  text,
  v.maxLength(maxValueLength, `must have at most ${String(maxValueLength)} characters`),
  v.check((value) => !/\p{Cc}/u.test(value), 'must not contain control characters'),
  v.check((value) => !/\p{Surrogate}/u.test(value), 'must be well-formed Unicode'),
)

export const labelsSchema: v.GenericSchema<unknown, VmLabels> = v.pipe(
  namedTexts(nameSchema, valueSchema),
  v.check((labels) => Object.keys(labels).length <= maxLabels, `must have at most ${String(maxLabels)} labels`),
)

/** Whether a VM has all of these labels, with these values. */
export const hasLabels = (labels: VmLabels = {}, wanted: VmLabels = {}): boolean =>
  Object.entries(wanted).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)
