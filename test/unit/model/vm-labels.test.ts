import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type VmSpec } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { validate } from '../../../src/errors/validate.js'
import { hasLabels, labelsSchema } from '../../../src/model/vm-labels.js'
import { VmDefinitions } from '../../../src/registry/vm-definitions.js'

const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`label-${String(index)}`, 'x']))

test.each([
  {},
  { job: '4711' },
  { 'ci.example.org/job_name': '' },
  { constructor: 'a', prototype: 'b', toString: 'c', hasOwnProperty: 'd' },
  { ['x'.repeat(128)]: 'é'.repeat(1024) },
  many(64),
])('labels are kept as they are', (labels) => {
  expect(validate(labelsSchema, labels, 'spec.labels')._unsafeUnwrap()).toEqual(labels)
})

test.each<[unknown, string, string]>([
  ['job', 'spec.labels', 'must be an object'],
  [['job'], 'spec.labels', 'must be an object'],
  [null, 'spec.labels', 'must be an object'],
  [many(65), 'spec.labels', 'must have at most 64 labels'],
  [{ job: 4711 }, 'spec.labels.job', 'must be a string, and is 4711'],
  [{ job: undefined }, 'spec.labels.job', 'must be a string'],
  [{ job: 'x'.repeat(1025) }, 'spec.labels.job', 'must have at most 1024 characters'],
  [{ job: 'a\nb' }, 'spec.labels.job', 'must not contain control characters'],
  [{ job: 'a\0b' }, 'spec.labels.job', 'must not contain control characters'],
  [{ job: 'a\ud800' }, 'spec.labels.job', 'must be well-formed Unicode'],
  [{ '': 'x' }, 'spec.labels.', 'is not the name of a label'],
  [{ 'two words': 'x' }, 'spec.labels.two words', 'is not the name of a label'],
  [{ '-job': 'x' }, 'spec.labels.-job', 'is not the name of a label'],
  [{ 'job\n': 'x' }, 'spec.labels.job\n', 'is not the name of a label'],
  [{ ['x'.repeat(129)]: 'x' }, `spec.labels.${'x'.repeat(129)}`, 'is not the name of a label'],
  [JSON.parse('{ "__proto__": "x" }'), 'spec.labels.__proto__', 'is not the name of a label'],
])('labels that are wrong are refused by their path: %j', (labels, path, reason) => {
  const error = validate(labelsSchema, labels, 'spec.labels')._unsafeUnwrapErr()
  expect(error.path).toBe(path)
  expect(error.reason).toContain(`${path} ${reason}`)
})

test('a VM has the labels that are wanted only if each of them is its own', () => {
  expect(hasLabels(undefined, {})).toBe(true)
  expect(hasLabels({}, undefined)).toBe(true)
  expect(hasLabels({ job: '1', team: 'red' }, { job: '1' })).toBe(true)
  expect(hasLabels({ job: '1' }, { job: '1', team: 'red' })).toBe(false)
  expect(hasLabels(undefined, { job: '1' })).toBe(false)
  expect(hasLabels({}, { constructor: String(Object) })).toBe(false)
})

test('a list by a name reads no other VM', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-labels-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  await using server = await connect(`embedded://${folder}`).unwrap()
  const vm = await server.createVm({ name: 'web-1', labels: { job: '1' } }).unwrap()
  await server.createVm({ name: 'web-2', labels: { job: '1' } }).unwrap()
  const readings = vi.spyOn(VmDefinitions.prototype, 'all')
  onTestFinished(() => {
    readings.mockRestore()
  })
  expect(await server.getVmList({ name: 'web-1', labels: { job: '1' } }).unwrap()).toEqual([vm])
  expect(await server.getVmList({ name: 'web-1', labels: { job: '2' } }).unwrap()).toEqual([])
  expect(readings).not.toHaveBeenCalled()
  expect(await server.getVmList({ labels: { job: '1' } }).unwrap()).toHaveLength(2)
  expect(readings).toHaveBeenCalledOnce()
})

test('the labels of a VM that is there before any connection are listed by', async () => {
  const vms: VmSpec[] = [{ name: 'web-1', labels: { job: '1' } }, { name: 'web-2' }]
  const { server } = createSimulatedServer({ vms })
  const [found, ...others] = await server.getVmList({ labels: { job: '1' } }).unwrap()
  expect([found?.name, ...others]).toEqual(['web-1'])
})
