import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server, type Vm } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asUser, otherUser } from '../../support/as-user.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, missingRoot, skipWithout } from '../../support/optional-tool.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'awaitvm-damaged-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const folderOf = ({ id }: Pick<Vm, 'id'>): string => join(directory, 'vms', id)
const definitionOf = (vm: Pick<Vm, 'id'>): string => join(folderOf(vm), 'vm.json')

/** Replaces the file of a definition by something else. */
const instead =
  (make: (path: string, text: string) => void) =>
  (vm: Vm): void => {
    const path = definitionOf(vm)
    const text = readFileSync(path, 'utf8')
    rmSync(path)
    make(path, text)
  }

const rewritten = (change: (definition: Record<string, unknown>) => void): ((vm: Vm) => void) =>
  instead((path, text) => {
    const definition = JSON.parse(text) as Record<string, unknown>
    change(definition)
    writeFileSync(path, JSON.stringify(definition))
  })

/** Ways to damage a VM, and words of the problem that it then has. */
const damages: Record<string, [damage: (vm: Vm) => void, says: string]> = {
  'that is empty': [
    instead((path) => {
      writeFileSync(path, '')
    }),
    'it is empty',
  ],
  'that is cut off': [
    instead((path, text) => {
      writeFileSync(path, text.slice(0, -20))
    }),
    'JSON',
  ],
  'that is missing': [instead(() => undefined), 'ENOENT'],
  'that is a folder': [
    instead((path) => {
      mkdirSync(path)
    }),
    'it is a folder',
  ],
  'that is a link': [
    instead((path, text) => {
      writeFileSync(join(directory, 'elsewhere.json'), text)
      symlinkSync(join(directory, 'elsewhere.json'), path)
    }),
    'it is a link',
  ],
  'that has another name': [
    (vm) => {
      linkSync(definitionOf(vm), join(directory, 'alias'))
    },
    'another name',
  ],
  'that is a FIFO': [
    instead((path) => {
      execFileSync('mkfifo', [path])
    }),
    'a FIFO',
  ],
  'of 3 GiB': [
    (vm) => {
      truncateSync(definitionOf(vm), 3 * 2 ** 30)
    },
    '3221225472 bytes',
  ],
  'that is no object': [
    instead((path) => {
      writeFileSync(path, '[]')
    }),
    'Invalid key',
  ],
  // JSON.parse would take seconds for that, at each look.
  'of brackets within brackets': [
    instead((path) => {
      writeFileSync(path, '['.repeat(4_000_000) + ']'.repeat(4_000_000))
    }),
    'levels deep',
  ],
  'with a number for a name': [
    rewritten((definition) => {
      definition['name'] = 7
    }),
    'name',
  ],
  'of another VM': [
    rewritten((definition) => {
      definition['id'] = '00000000-0000-4000-8000-000000000000'
    }),
    'it speaks of',
  ],
  'with a setting of a newer awaitvm': [
    rewritten((definition) => {
      definition['shares'] = []
    }),
    'shares is not known',
  ],
  'with snapshots that are each other': [
    rewritten((definition) => {
      const [snapshot] = definition['snapshots'] as Record<string, unknown>[]
      definition['snapshots'] = [{ ...snapshot, parentId: snapshot?.['id'] }]
    }),
    'not a tree',
  ],
}

describe.each([
  ['embedded', undefined],
  ['qmp', missingQemu],
])('%s: a definition', (scheme, missing) => {
  beforeEach((context) => {
    skipWithout(context, missing)
  })
  const open = (): Promise<Server> => connect(`${scheme}://${directory}`).unwrap()

  test.each(Object.entries(damages))(
    '%s is shown as damaged, and other VMs are not affected',
    async (_what, [damage, says]) => {
      await using server = await open()
      const other = await server.createVm({ name: 'web-1' }).unwrap()
      const vm = await server.createVm({ name: 'web-2' }).unwrap()
      await vm.createSnapshot({ name: 'one' }).unwrap()
      damage(vm)
      const files = readdirSync(folderOf(vm))

      await using again = await open()
      const list = await again.getVmList().unwrap()
      expect(list.map(({ id, state }) => [id, state])).toEqual([
        [other.id, 'stopped'],
        [vm.id, 'unknown'],
      ])
      const shown = list[1]!
      expect(shown.problem?.message).toContain(definitionOf(vm))
      expect(shown.problem?.message).toContain(says)
      expect(shown.problem?.hint).toContain('vm.delete()')
      expect(JSON.parse(JSON.stringify(shown))).toMatchObject({ problem: { code: 'PROTOCOL_ERROR' } })
      expect((await again.getVm(vm.id).unwrap()).state).toBe('unknown')

      for (const job of [
        shown.refresh(),
        shown.getState(),
        shown.start(),
        shown.edit({ name: 'web-3' }),
        shown.getSnapshotTree(),
      ]) {
        expect((await failureOf(job, 'PROTOCOL_ERROR')).message).toContain(definitionOf(vm))
      }
      expect(shown.problem?.message).not.toContain('Cannot')
      expect(readdirSync(folderOf(vm))).toEqual(files)

      await again.createVm({ name: 'web-4' }).unwrap()
      await other.edit({ description: 'edited' }).unwrap()
      // A VM's files are never folders.
      if (says === 'it is a folder') await failureOf(shown.delete(), 'PROTOCOL_ERROR')
      else await shown.delete().unwrap()
      expect(readdirSync(join(directory, 'vms')).includes(vm.id)).toBe(says === 'it is a folder')
    },
  )

  test('with 30,000 snapshots in one line is read, shown and changed', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.createSnapshot({ name: 'one' }).unwrap()
    const length = 30_000
    rewritten((definition) => {
      const [snapshot] = definition['snapshots'] as Record<string, unknown>[]
      const ids = Array.from({ length }, () => randomUUID())
      definition['snapshots'] = ids.map((id, index) => ({ ...snapshot, id, name: id, parentId: ids[index - 1] }))
      definition['currentSnapshot'] = ids.at(-1)
    })(vm)
    let depth = 0
    for (let nodes = await vm.getSnapshotTree().unwrap(); nodes.length > 0; nodes = nodes[0]?.children ?? []) depth += 1
    expect(depth).toBe(length)
    await vm.createSnapshot({ name: 'last' }).unwrap()
    await vm.edit({ description: 'edited' }).unwrap()
    await vm.start().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
  })

  test('that would be too large to be read again is not written', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.createSnapshot({ name: 'one' }).unwrap()
    rewritten((definition) => {
      const [snapshot] = definition['snapshots'] as Record<string, unknown>[]
      definition['snapshots'] = [{ ...snapshot, description: 'x'.repeat(16 * 2 ** 20 - 2000) }]
    })(vm)
    await failureOf(vm.edit({ description: 'x'.repeat(4000) }), 'INSUFFICIENT_RESOURCES')
    await vm.refresh().unwrap()
    expect(vm.config.description).toBe('')
  })

  test('that is restored is one again', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    renameSync(definitionOf(vm), join(directory, 'kept'))
    await failureOf(vm.refresh(), 'PROTOCOL_ERROR')
    expect(vm.state).toBe('unknown')
    renameSync(join(directory, 'kept'), definitionOf(vm))
    await vm.refresh().unwrap()
    expect(vm.state).toBe('stopped')
    expect(vm.problem).toBeUndefined()
  })

  test('that is damaged keeps the name that can be read from it', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    rewritten((definition) => {
      definition['later'] = true
    })(vm)
    expect(await server.getVm('web-1').unwrap()).toMatchObject({ id: vm.id, state: 'unknown' })
    await failureOf(server.createVm({ name: 'web-1' }), 'ALREADY_EXISTS')
  })

  test('that is damaged is not deleted with what awaitvm has not made', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    writeFileSync(definitionOf(vm), '')
    writeFileSync(join(folderOf(vm), 'thesis.txt'), 'do not touch')
    const error = await failureOf(vm.delete(), 'PROTOCOL_ERROR')
    expect(error.message).toContain(join(folderOf(vm), 'thesis.txt'))
    expect(readdirSync(folderOf(vm))).toContain('thesis.txt')
  })

  test("of a folder that is a link, or is another user's, is not read", async () => {
    await using server = await open()
    const linked = await server.createVm({ name: 'web-1' }).unwrap()
    renameSync(folderOf(linked), join(directory, 'elsewhere'))
    symlinkSync(join(directory, 'elsewhere'), folderOf(linked))
    const foreign = await server.createVm({ name: 'web-2' }).unwrap()
    const isRoot = process.geteuid?.() === 0
    if (isRoot) chownSync(folderOf(foreign), 1234, 1234)

    await using again = await open()
    const problems = new Map((await again.getVmList().unwrap()).map(({ id, problem }) => [id, problem?.message]))
    expect(problems.get(linked.id)).toContain('it is a link')
    if (isRoot) expect(problems.get(foreign.id)).toContain('it belongs to the user 1234')
    for (const { id } of isRoot ? [linked, foreign] : [linked]) {
      const vm = await again.getVm(id).unwrap()
      await failureOf(vm.delete(), 'PROTOCOL_ERROR', 'PERMISSION_DENIED')
    }
    expect(readdirSync(join(directory, 'elsewhere'))).toContain('vm.json')
  })

  test('beside a claim that says nothing is shown with what is wrong', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    writeFileSync(join(folderOf(vm), 'claim,of,nobody'), '')
    const [shown] = await server.getVmList().unwrap()
    expect(shown).toMatchObject({ id: vm.id, state: 'unknown', config: { name: 'web-1' } })
    expect(shown?.problem?.message).toContain(join(folderOf(vm), 'claim,of,nobody'))
    await using again = await open()
    await again.createVm({ name: 'web-2' }).unwrap()
    rmSync(join(folderOf(vm), 'claim,of,nobody'))
    await vm.start().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
  })
})

describe('QEMU:', () => {
  beforeEach((context) => {
    skipWithout(context, missingQemu)
  })

  test.each([
    [
      'is empty',
      (path: string) => {
        writeFileSync(path, '')
      },
    ],
    [
      'is brackets within brackets',
      (path: string) => {
        writeFileSync(path, '{"a":'.repeat(10_000) + '}'.repeat(10_000))
      },
    ],
    [
      'has 3 GiB',
      (path: string) => {
        writeFileSync(path, '{')
        truncateSync(path, 3 * 2 ** 30)
      },
    ],
    [
      'is a link',
      (path: string) => {
        symlinkSync('/dev/zero', path)
      },
    ],
    [
      'is a FIFO',
      (path: string) => {
        execFileSync('mkfifo', [path])
      },
    ],
  ])('a run.json that %s is named, and other VMs are not affected', async (_what, damage) => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const other = await server.createVm({ name: 'web-1', memoryMiB: 16 }).unwrap()
    const vm = await server.createVm({ name: 'web-2' }).unwrap()
    damage(join(folderOf(vm), 'run.json'))
    await using again = await connect(`qmp://${directory}`).unwrap()
    const list = await again.getVmList().unwrap()
    expect(list.map(({ name, state }) => [name, state])).toEqual([
      ['web-1', 'stopped'],
      ['web-2', 'unknown'],
    ])
    expect(list[1]?.problem?.message).toContain(join(folderOf(vm), 'run.json'))
    expect((await failureOf(vm.start(), 'PROTOCOL_ERROR')).message).toContain(join(folderOf(vm), 'run.json'))
    await other.start().unwrap()
    await other.stop({ mode: 'kill' }).unwrap()
    rmSync(join(folderOf(vm), 'run.json'))
    await vm.delete().unwrap()
  })

  test('others are told that a VM was damaged, and restored', async () => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    const events = server.events({ vmId: vm.id, types: ['state'] })[Symbol.asyncIterator]()
    const text = readFileSync(definitionOf(vm), 'utf8')
    writeFileSync(definitionOf(vm), '')
    expect((await events.next()).value).toMatchObject({ state: 'unknown', previous: 'stopped' })
    expect(vm.state).toBe('unknown')
    writeFileSync(definitionOf(vm), text)
    expect((await events.next()).value).toMatchObject({ state: 'stopped', previous: 'unknown' })
  })
})

describe.each([
  ['embedded', undefined],
  ['qmp', missingQemu],
])('%s:', (scheme, missing) => {
  beforeEach((context) => {
    skipWithout(context, missing)
    skipWithout(context, missingRoot)
  })

  test('a VM that root created in the directory of another user does not affect others', async () => {
    const uri = `${scheme}://${directory}`
    let id = ''
    {
      await using server = await connect(uri).unwrap()
      id = (await server.createVm({ name: 'web-1' }).unwrap()).id
    }
    for (const path of [
      directory,
      join(directory, 'vms'),
      ...readdirSync(directory).map((name) => join(directory, name)),
    ]) {
      chownSync(path, otherUser, otherUser)
    }
    await asUser(otherUser, async () => {
      await using server = await connect(uri).unwrap()
      const own = await server.createVm({ name: 'web-2' }).unwrap()
      const list = await server.getVmList().unwrap()
      expect(list.map((vm) => [vm.id, vm.state])).toEqual([
        [own.id, 'stopped'],
        [id, 'unknown'],
      ])
      expect(list[1]?.problem?.code).toBe('PERMISSION_DENIED')
      expect(list[1]?.problem?.message).toContain(join(directory, 'vms', id))
      await failureOf(list[1]!.start(), 'PERMISSION_DENIED')
      await failureOf(list[1]!.delete(), 'PERMISSION_DENIED')
    })
    expect(readdirSync(join(directory, 'vms', id))).toContain('vm.json')
  })
})
