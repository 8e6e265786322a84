import * as v from 'valibot'
import { objectOnly } from './schema.js'

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

/** What is wrong with a label, if anything. */
function problemOf(name: string, value: unknown): string | undefined {
  if (name.length > maxNameLength || !namePattern.test(name)) {
    return `is not the name of a label: 1 to ${String(maxNameLength)} letters, digits, ".", "_", "/" and "-", with a letter or a digit at both ends`
  }
  if (typeof value !== 'string') return 'must be a string'
  if (value.length > maxValueLength) return `must have at most ${String(maxValueLength)} characters`
  if (/\p{Cc}/u.test(value)) return 'must not contain control characters'
  return /\p{Surrogate}/u.test(value) ? 'must be well-formed Unicode' : undefined
}

/** Not `v.record`, which leaves names out that objects inherit, such as `constructor`. */
export const labelsSchema: v.GenericSchema<unknown, VmLabels> = v.pipe(
  objectOnly,
  v.rawTransform(({ dataset, addIssue, NEVER }): VmLabels => {
    const input = dataset.value
    const entries = Object.entries(input)
    if (entries.length > maxLabels) {
      addIssue({ message: `must have at most ${String(maxLabels)} labels` })
      return NEVER
    }
    for (const [key, value] of entries) {
      const message = problemOf(key, value)
      if (message === undefined) continue
      addIssue({ message, input: value, path: [{ type: 'object', origin: 'value', input: {}, key, value }] })
      return NEVER
    }
    return Object.fromEntries(entries)
  }),
)

/** Whether a VM has all of these labels, with these values. */
export const hasLabels = (labels: VmLabels = {}, wanted: VmLabels = {}): boolean =>
  Object.entries(wanted).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)
