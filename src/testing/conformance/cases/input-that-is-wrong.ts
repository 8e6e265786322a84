import { execFile } from 'node:child_process'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import type { KeyCode } from '../../../model/keys.js'
import type { VmFilter, VmSpec } from '../../../model/vm-spec.js'
import { EventLog } from '../event-log.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'
import { withKernel } from '../with-kernel.js'

/** Invalid specs, by what is wrong with them, with the path that the error names. */
const wrongSpecs: Record<string, { path: string; spec: () => unknown }> = {
  'no spec': { path: 'spec', spec: () => undefined },
  'null for a spec': { path: 'spec', spec: () => null },
  'a text for a spec': { path: 'spec', spec: () => 'web-1' },
  'no name': { path: 'spec.name', spec: () => ({}) },
  'an empty name': { path: 'spec.name', spec: () => ({ name: '' }) },
  'a blank name': { path: 'spec.name', spec: () => ({ name: '  ' }) },
  'a name with a slash': { path: 'spec.name', spec: () => ({ name: 'a/b' }) },
  'a name with a backslash': { path: 'spec.name', spec: () => ({ name: 'a\\b' }) },
  'a name that climbs': { path: 'spec.name', spec: () => ({ name: '../../etc/passwd' }) },
  'the name .': { path: 'spec.name', spec: () => ({ name: '.' }) },
  'the name ..': { path: 'spec.name', spec: () => ({ name: '..' }) },
  'a name with NUL': { path: 'spec.name', spec: () => ({ name: 'a\0b' }) },
  'a name with a line feed': { path: 'spec.name', spec: () => ({ name: 'a\nb' }) },
  'a name of 300 characters': { path: 'spec.name', spec: () => ({ name: 'x'.repeat(300) }) },
  'a name of half a character': { path: 'spec.name', spec: () => ({ name: 'a\ud800' }) },
  'a number for a name': { path: 'spec.name', spec: () => ({ name: 7 }) },
  'negative memory': { path: 'spec.memoryMiB', spec: () => ({ name: 'vm', memoryMiB: -1 }) },
  'no memory at all': { path: 'spec.memoryMiB', spec: () => ({ name: 'vm', memoryMiB: 0 }) },
  'a fraction of memory': { path: 'spec.memoryMiB', spec: () => ({ name: 'vm', memoryMiB: 16.5 }) },
  'NaN for memory': { path: 'spec.memoryMiB', spec: () => ({ name: 'vm', memoryMiB: NaN }) },
  'infinite memory': { path: 'spec.memoryMiB', spec: () => ({ name: 'vm', memoryMiB: Infinity }) },
  'a text for memory': { path: 'spec.memoryMiB', spec: () => ({ name: 'vm', memoryMiB: '16' }) },
  'no processor': { path: 'spec.cpus', spec: () => ({ name: 'vm', cpus: 0 }) },
  'a long description': { path: 'spec.description', spec: () => ({ name: 'vm', description: 'x'.repeat(5000) }) },
  'an unknown setting': { path: 'spec.memory', spec: () => ({ name: 'vm', memory: 16 }) },
  'a disk that is nothing': { path: 'spec.disks[0]', spec: () => ({ name: 'vm', disks: [{}] }) },
  'a disk with an id': {
    path: 'spec.disks[1].id',
    spec: () => ({ name: 'vm', disks: [{ sizeMiB: 1 }, { sizeMiB: 1, id: 'disk' }] }),
  },
  'a disk of negative size': { path: 'spec.disks[0].sizeMiB', spec: () => ({ name: 'vm', disks: [{ sizeMiB: -1 }] }) },
  'disks that are no list': { path: 'spec.disks', spec: () => ({ name: 'vm', disks: { sizeMiB: 1 } }) },
  'an image by a relative path': {
    path: 'spec.disks[0].image',
    spec: () => ({ name: 'vm', disks: [{ image: 'disk.img' }] }),
  },
  'an image with NUL in its path': {
    path: 'spec.disks[0].image',
    spec: () => ({ name: 'vm', disks: [{ image: '/a\0b' }] }),
  },
  'a kernel by a relative path': {
    path: 'spec.boot.kernel',
    spec: () => ({ name: 'vm', boot: { kernel: './vmlinuz' } }),
  },
  'an initrd without a kernel': { path: 'spec.boot', spec: () => ({ name: 'vm', boot: { initrd: '/initrd' } }) },
  'a command line without a kernel': {
    path: 'spec.boot',
    spec: () => ({ name: 'vm', boot: { commandLine: 'quiet' } }),
  },
  'both a kernel and a firmware': {
    path: 'spec.boot',
    spec: () => ({ name: 'vm', boot: { kernel: '/vmlinuz', firmware: '/bios' } }),
  },
  'an invalid MAC address': {
    path: 'spec.networkAdapters[0].macAddress',
    spec: () => ({ name: 'vm', networkAdapters: [{ macAddress: '52:54:00:12:34:56,id=other' }] }),
  },
  'a port beyond the last': {
    path: 'spec.networkAdapters[1].portForwards[0].guestPort',
    spec: () => ({ name: 'vm', networkAdapters: [{}, { portForwards: [{ guestPort: 65_536 }] }] }),
  },
  'a host address that is more than that': {
    path: 'spec.networkAdapters[0].portForwards[0].hostAddress',
    spec: () => ({
      name: 'vm',
      networkAdapters: [{ portForwards: [{ guestPort: 22, hostAddress: '127.0.0.1:80-:80' }] }],
    }),
  },
  'an unknown boot device': { path: 'spec.boot.order[0]', spec: () => ({ name: 'vm', boot: { order: ['network'] } }) },
}

/** Invalid files, by what is wrong with them. None of them may make the host wait. */
const wrongFiles: Record<string, (trial: Trial) => Promise<string>> = {
  'that is missing': async (trial) => trial.path('missing'),
  'in a folder that is missing': async (trial) => trial.path('missing/missing'),
  'that is a directory': async (trial) => {
    await mkdir(trial.path('directory'))
    return trial.path('directory')
  },
  'that is a named pipe': async (trial) => {
    await promisify(execFile)('mkfifo', [trial.path('pipe')])
    return trial.path('pipe')
  },
  'below a file': async (trial) => {
    await writeFile(trial.path('file'), 'x')
    return trial.path('file/file')
  },
}
if (process.getuid?.() !== 0) {
  // Root can read every file.
  wrongFiles['that may not be read'] = async (trial) => {
    await writeFile(trial.path('secret'), 'x')
    await chmod(trial.path('secret'), 0)
    return trial.path('secret')
  }
}

const filesOfSpec: Record<string, { path: string; spec: (file: string, trial: Trial) => Omit<VmSpec, 'name'> }> = {
  'a kernel': { path: 'spec.boot.kernel', spec: (kernel) => ({ boot: { kernel } }) },
  'an initrd': {
    path: 'spec.boot.initrd',
    spec: (initrd, trial) => ({ boot: { kernel: withKernel(trial), initrd } }),
  },
  'a disk image': { path: 'spec.disks[1].image', spec: (image) => ({ disks: [{ sizeMiB: 1 }, { image }] }) },
  'a CD-ROM image': { path: 'spec.cdroms[0].image', spec: (image) => ({ cdroms: [{ image }] }) },
  'a floppy image': { path: 'spec.floppies[0].image', spec: (image) => ({ floppies: [{ image }] }) },
  'a firmware': { path: 'spec.boot.firmware', spec: (firmware) => ({ boot: { firmware } }) },
}

const wrongKernels: Record<string, Buffer> = {
  'that is empty': Buffer.alloc(0),
  'that is text': Buffer.from('This is no kernel.\n'.repeat(1000)),
  'that is one byte': Buffer.from([0x7f]),
  'that is cut off after its magic number': Buffer.concat([
    Buffer.alloc(510),
    Buffer.from([0x55, 0xaa]),
    Buffer.from('HdrS'),
  ]),
}

/** Runs the attempt, and asserts that the host has made no VM and no file. */
async function expectNothingMade(trial: Trial, attempt: () => Promise<void>): Promise<void> {
  const events = new EventLog(trial.server.events())
  const before = await trial.opened.files?.()
  await attempt()
  expect(await trial.server.getVmList().unwrap()).toEqual([])
  expect(await trial.opened.files?.()).toEqual(before)
  await events.close()
  expect(events.events).toEqual([])
}

export const inputThatIsWrong: Cases = ({ host, promises }) => {
  const isRefused = (setting: string): boolean => refusedPathOf(host, setting) !== undefined

  for (const [wrong, { path, spec }] of Object.entries(wrongSpecs)) {
    promises(
      `a spec with ${wrong} ends with INVALID_ARGUMENT, and nothing is made`,
      ['server.createVm'],
      async (trial) => {
        await expectNothingMade(trial, async () => {
          const job = trial.server.createVm(spec() as VmSpec)
          expect(job.status).toBe('finished')
          const error = await failureOf(job, 'INVALID_ARGUMENT')
          expect(error.path).toBe(path)
          expect(error.message).toContain(path)
        })
      },
    )
  }

  for (const [file, { path, spec }] of Object.entries(filesOfSpec)) {
    // An initrd belongs to a kernel.
    const setting = path === 'spec.boot.initrd' ? 'spec.boot.kernel' : path.replace(/\[\d\]/, '')
    if (isRefused(setting)) continue
    for (const [wrong, make] of Object.entries(wrongFiles)) {
      promises(
        `${file} ${wrong} ends with INVALID_ARGUMENT, and nothing is made`,
        ['server.createVm'],
        async (trial) => {
          const made = await make(trial)
          await expectNothingMade(trial, async () => {
            const error = await failureOf(
              trial.server.createVm({ ...spec(made, trial), name: 'vm' }),
              'INVALID_ARGUMENT',
            )
            expect(error.path).toBe(path)
            expect(error.message).toContain(made)
          })
        },
      )
    }
  }

  for (const [wrong, content] of Object.entries(isRefused('spec.boot.kernel') ? {} : wrongKernels)) {
    promises(
      `a kernel ${wrong} ends with INVALID_ARGUMENT, and nothing is made`,
      ['server.createVm'],
      async (trial) => {
        const kernel = trial.path('kernel')
        await writeFile(kernel, content)
        await expectNothingMade(trial, async () => {
          const error = await failureOf(trial.server.createVm({ name: 'vm', boot: { kernel } }), 'INVALID_ARGUMENT')
          expect(error.path).toBe('spec.boot.kernel')
          expect(error.message).toContain(kernel)
        })
      },
    )
  }

  const tooMuch: Record<string, Omit<VmSpec, 'name'>> = {
    '4 PiB of memory': { memoryMiB: 2 ** 32 },
    '1024 processors': { cpus: 1024 },
    '64 floppies': { floppies: Array.from({ length: 64 }, () => ({ image: '/dev/null' })) },
  }
  for (const [what, spec] of Object.entries(tooMuch)) {
    if (Object.keys(spec).some((setting) => isRefused(`spec.${setting}`))) continue
    promises(`a VM with ${what} is refused, and nothing is made`, ['server.createVm'], async (trial) => {
      await expectNothingMade(trial, async () => {
        const job = trial.server.createVm({ ...spec, name: 'vm' })
        const error = await failureOf(job, 'INVALID_ARGUMENT', 'NOT_SUPPORTED', 'INSUFFICIENT_RESOURCES')
        expect(error.message).toMatch(/\d|one/)
      })
    })
  }

  promises('an invalid filter ends with INVALID_ARGUMENT', ['server.getVmList'], async ({ server }) => {
    const wrong = { state: 'asleep' } as unknown as VmFilter
    expect((await failureOf(server.getVmList(wrong), 'INVALID_ARGUMENT')).path).toBe('filter.state')
    expect((await failureOf(server.getVm(''), 'INVALID_ARGUMENT')).path).toBe('nameOrId')
    expect((await failureOf(server.getVm(7 as never), 'INVALID_ARGUMENT')).path).toBe('nameOrId')
  })

  promises('invalid job options end with INVALID_ARGUMENT, and nothing is done', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    expect((await failureOf(vm.start({ timeoutMs: -1 }), 'INVALID_ARGUMENT')).path).toBe('timeoutMs')
    expect((await failureOf(vm.start({ timeoutMs: NaN }), 'INVALID_ARGUMENT')).path).toBe('timeoutMs')
    expect((await failureOf(vm.start({ timeoutMs: 2 ** 31 }), 'INVALID_ARGUMENT')).path).toBe('timeoutMs')
    expect((await failureOf(vm.start({ signal: {} as never }), 'INVALID_ARGUMENT')).path).toBe('signal')
    expect((await failureOf(vm.start({ onProgress: 'no' as never }), 'INVALID_ARGUMENT')).path).toBe('onProgress')
    await trial.expectState(vm, 'stopped')
  })

  promises(
    'invalid arguments of VM operations end with INVALID_ARGUMENT, and nothing is done',
    ['vm.stop', 'vm.waitForState', 'running VM'],
    async (trial) => {
      const vm = await trial.vmIn('running')
      expect((await failureOf(vm.stop({ mode: 'gently' as never }), 'INVALID_ARGUMENT')).path).toBe('options.mode')
      expect((await failureOf(vm.waitForState('asleep' as never), 'INVALID_ARGUMENT')).path).toBe('states')
      expect((await failureOf(vm.waitForState([]), 'INVALID_ARGUMENT')).path).toBe('states')
      await trial.expectState(vm, 'running')
    },
  )

  promises(
    'a clone with an invalid name ends with INVALID_ARGUMENT, and nothing is made',
    ['vm.clone'],
    async (trial) => {
      const vm = await trial.createVm()
      for (const options of [{}, { name: '' }, { name: '../x' }, { name: 'a\0b' }, { name: 'x'.repeat(300) }]) {
        expect((await failureOf(vm.clone(options as never), 'INVALID_ARGUMENT')).path).toBe('options.name')
      }
      expect((await failureOf(vm.clone({ name: 'x', linked: 1 as never }), 'INVALID_ARGUMENT')).path).toBe(
        'options.linked',
      )
      expect(await trial.server.getVmList().unwrap()).toEqual([vm])
    },
  )

  promises('invalid changes end with INVALID_ARGUMENT, and nothing is changed', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm()
    const before = await vm.refresh().unwrap()
    const wrong = {
      'changes.name': { name: 'a/b' },
      'changes.memoryMiB': { memoryMiB: -5, description: 'half of it' },
      'changes.colour': { colour: 'red' },
      'changes.disks[0]': { disks: [{}] },
    }
    for (const [path, changes] of Object.entries(wrong)) {
      expect((await failureOf(vm.edit(changes as never), 'INVALID_ARGUMENT')).path).toBe(path)
    }
    const job = vm.edit({ boot: { kernel: trial.path('missing') }, description: 'half of it' })
    const refused = refusedPathOf(host, 'spec.boot.kernel')
    if (refused !== undefined) {
      expect((await failureOf(job, 'NOT_SUPPORTED')).capability).toBe(refused)
    } else {
      expect((await failureOf(job, 'INVALID_ARGUMENT')).path).toBe('changes.boot.kernel')
    }
    expect(await vm.refresh().unwrap()).toEqual(before)
  })

  promises(
    'a snapshot with an invalid name ends with INVALID_ARGUMENT, and nothing is made',
    ['vm.createSnapshot', 'vm.getSnapshotTree'],
    async (trial) => {
      const vm = await trial.createVm()
      for (const options of [{}, { name: '' }, { name: 7 }, { name: 'a\0b' }]) {
        expect((await failureOf(vm.createSnapshot(options as never), 'INVALID_ARGUMENT')).path).toBe('options.name')
      }
      expect(await vm.getSnapshotTree().unwrap()).toEqual([])
    },
  )

  promises(
    'keys that do not exist end with INVALID_ARGUMENT, and none is pressed',
    ['vm.sendKeys', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      for (const keys of [['KeyA', 'KeyÄ'], 7, [['KeyA', 'Nope']], [[]], undefined]) {
        expect((await failureOf(vm.sendKeys(keys as KeyCode[]), 'INVALID_ARGUMENT')).path).toMatch(/^keys/)
      }
      await vm.sendKeys(['KeyB']).unwrap()
      await guest.untilKey('KeyB')
      expect(await guest.hasSeenKey('KeyA')).toBe(false)
    },
  )
}
