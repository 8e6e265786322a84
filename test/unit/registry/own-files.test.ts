import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asUser, otherUser } from '../../support/as-user.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, missingRoot, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

let parent: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'awaitvm-own-'))
})
afterEach(() => {
  rmSync(parent, { recursive: true, force: true })
})

describe.each([
  ['embedded', undefined],
  ['qmp', missingQemu],
])('%s: a directory', (scheme, missing) => {
  beforeEach((context) => {
    skipWithout(context, missing)
  })
  const uri = (): string => `${scheme}://${join(parent, 'vms')}`

  test('that is empty and open to others is closed', async () => {
    mkdirSync(join(parent, 'vms'))
    chmodSync(join(parent, 'vms'), 0o777)
    await using server = await connect(uri()).unwrap()
    await server.createVm({ name: 'web-1' }).unwrap()
    expect(statSync(join(parent, 'vms')).mode & 0o777).toBe(0o700)
  })

  test.each(['', 'vms'])('that has VMs, and "%s" in it open to others, is refused', async (part) => {
    await (await connect(uri()).unwrap()).close().unwrap()
    const folder = join(parent, 'vms', part)
    chmodSync(folder, 0o777)
    const error = await failureOf(connect(uri()), 'INVALID_ARGUMENT')
    expect(error).toMatchObject({ path: 'uri' })
    expect(error.hint).toContain(`chmod 700 ${folder.replace(/\/$/, '')}`)
  })

  test('that belongs to another user is refused, by root too', async (context) => {
    skipWithout(context, missingRoot)
    mkdirSync(join(parent, 'vms'))
    chownSync(join(parent, 'vms'), otherUser, otherUser)
    const error = await failureOf(connect(uri()), 'PERMISSION_DENIED')
    expect(error.message).toContain(`it belongs to the user ${String(otherUser)}`)
    expect(readdirSync(join(parent, 'vms'))).toEqual([])
  })

  test('that can not be made is told with its path', async (context) => {
    writeFileSync(join(parent, 'file'), '')
    for (const path of ['file', 'file/vms']) {
      const error = await failureOf(connect(`${scheme}://${join(parent, path)}`), 'INVALID_ARGUMENT')
      expect(error).toMatchObject({ path: 'uri' })
      expect(error.message).toContain(join(parent, path))
    }
    skipWithout(context, missingRoot)
    await asUser(otherUser, async () => {
      await failureOf(connect(uri()), 'PERMISSION_DENIED')
    })
  })

  test('with a link in the place of its VMs is refused', async () => {
    await (await connect(uri()).unwrap()).close().unwrap()
    renameSync(join(parent, 'vms', 'vms'), join(parent, 'elsewhere'))
    symlinkSync(join(parent, 'elsewhere'), join(parent, 'vms', 'vms'))
    expect((await failureOf(connect(uri()), 'PROTOCOL_ERROR')).message).toContain('it is a link')
  })

  test('has nothing that other users can read, even if new files are open to all by default', async () => {
    const before = process.umask(0)
    try {
      await using server = await connect(uri()).unwrap()
      const vm = await server.createVm({ name: 'web-1', memoryMiB: 16, disks: [{ sizeMiB: 1 }] }).unwrap()
      const open = (): string[] =>
        readdirSync(join(parent, 'vms'), { recursive: true, encoding: 'utf8' }).filter(
          (name) => (statSync(join(parent, 'vms', name)).mode & 0o077) !== 0,
        )
      expect(open()).toEqual([])
      await vm.start().unwrap()
      expect(open()).toEqual([])
      await vm.createSnapshot({ name: 'one' }).unwrap()
      await vm.screenshot().unwrap()
      await vm.clone({ name: 'web-2' }).unwrap()
      await vm.suspend().unwrap()
      expect(open()).toEqual([])
      await vm.resume().unwrap()
      expect(open()).toEqual([])
      await vm.stop({ mode: 'kill' }).unwrap()
      expect(open()).toEqual([])
    } finally {
      process.umask(before)
    }
  })
})

describe('QEMU: a folder that is registered', () => {
  beforeEach((context) => {
    skipWithout(context, missingQemu)
  })

  /** The folder of a VM that was unregistered, somewhere else. */
  const foundIn = async (host: QmpHost): Promise<string> => {
    const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
    await vm.unregister().unwrap()
    renameSync(join(host.directory, 'unregistered', vm.id), join(parent, 'found'))
    return join(parent, 'found')
  }

  test('and belongs to another user is refused', async (context) => {
    skipWithout(context, missingRoot)
    await using host = await QmpHost.open()
    const folder = await foundIn(host)
    chownSync(folder, otherUser, otherUser)
    const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
    expect(error.message).toContain(`it belongs to the user ${String(otherUser)}`)
    expect(readdirSync(folder)).toContain('vm.json')
  })

  test('with a file of another user is refused', async (context) => {
    skipWithout(context, missingRoot)
    await using host = await QmpHost.open()
    const folder = await foundIn(host)
    for (const file of ['vm.json', 'console.log']) {
      writeFileSync(join(folder, file), '', { flag: 'a' })
      chownSync(join(folder, file), otherUser, otherUser)
      const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
      expect(error.message).toContain(join(folder, file))
      chownSync(join(folder, file), 0, 0)
    }
  })

  test('with a log that is a hard link is refused', async () => {
    await using host = await QmpHost.open()
    const folder = await foundIn(host)
    writeFileSync(join(parent, 'secret'), 'secret')
    linkSync(join(parent, 'secret'), join(folder, 'console.log'))
    const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
    expect(error.message).toContain('another name')
  })

  test('and that others may change is refused', async () => {
    await using host = await QmpHost.open()
    const folder = await foundIn(host)
    chmodSync(folder, 0o777)
    const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
    expect(error.hint).toContain(`chmod 700 ${folder}`)
    chmodSync(folder, 0o755)
    const vm = await host.server.registerVm(folder).unwrap()
    expect(statSync(host.folderOf(vm)).mode & 0o777).toBe(0o700)
  })

  test('while another user puts another one in its place is taken as it was looked through, or not at all', async (context) => {
    skipWithout(context, missingRoot)
    await using host = await QmpHost.open()
    const folder = await foundIn(host)
    const trap = join(parent, 'trap')
    cpSync(folder, trap, { recursive: true })
    for (const path of [parent, trap, ...readdirSync(trap).map((name) => join(trap, name))]) {
      chownSync(path, otherUser, otherUser)
    }
    chmodSync(parent, 0o755)
    const swapping = spawn(
      'sh',
      ['-c', 'while :; do mv found kept; mv trap found; mv found trap; mv kept found; done'],
      {
        cwd: parent,
        uid: otherUser,
        gid: otherUser,
        stdio: 'ignore',
      },
    )
    const ended = once(swapping, 'exit')
    try {
      for (let attempt = 0; attempt < 50; attempt += 1) {
        const result = await host.server.registerVm(folder)
        for (const id of readdirSync(join(host.directory, 'vms'))) {
          expect(statSync(join(host.directory, 'vms', id)).uid).toBe(process.geteuid?.())
        }
        if (result.isOk()) break
      }
    } finally {
      swapping.kill('SIGKILL')
      await ended
    }
  })
})
