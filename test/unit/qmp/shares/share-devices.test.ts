import { afterEach, expect, test, vi } from 'vitest'
import { shareDevices } from '../../../../src/drivers/qmp/shares/share-devices.js'

afterEach(() => {
  vi.restoreAllMocks()
})

const [user, root] = [1000, 0]
const machine = 'pc-q35-7.2'
const vm = '01234567-89ab-4cde-8f01-23456789abcd'

/** The keys and values of the file systems. */
const fileSystems = (...args: Parameters<typeof shareDevices>): string[][] =>
  shareDevices(...args).flatMap((word, index, words) => (words[index - 1] === '-fsdev' ? [word.split(',')] : []))

test.each([
  { uid: user, readOnly: false, model: 'none' },
  { uid: user, readOnly: true, model: 'none' },
  { uid: root, readOnly: false, model: 'mapped-xattr' },
  { uid: root, readOnly: true, model: 'none' },
])(
  'a guest of the user $uid has files as they are unless it could make any for root: $model',
  ({ uid, readOnly, model }) => {
    vi.spyOn(process, 'geteuid').mockReturnValue(uid)
    const [words] = fileSystems(vm, [{ path: '/srv/project', tag: 'project', readOnly, type: '9p' }], machine)
    expect(words).toContain(`security_model=${model}`)
    expect(words?.includes('readonly=on')).toBe(readOnly)
  },
)

test('a comma in a path separates no options', () => {
  const [words] = shareDevices(
    vm,
    [{ path: '/srv/a,security_model=passthrough', tag: 'a', readOnly: true, type: '9p' }],
    machine,
  ).slice(1)
  expect(words).toContain('path=/srv/a,,security_model=passthrough,security_model=none')
})

test('eight shares take one slot, which no disk takes', () => {
  const shares = Array.from({ length: 8 }, (_, index) => ({
    path: '/srv',
    tag: `t${String(index)}`,
    readOnly: false,
    type: '9p' as const,
  }))
  const devices = shareDevices(vm, shares, machine).flatMap((word, index, words) =>
    words[index - 1] === '-device' ? [JSON.parse(word) as { readonly addr: string; readonly bus: string }] : [],
  )
  expect(devices.map(({ addr }) => addr)).toEqual(shares.map((_, index) => `0x1d.${String(index)}`))
  expect(new Set(devices.map(({ bus }) => bus))).toEqual(new Set(['plug']))
})
