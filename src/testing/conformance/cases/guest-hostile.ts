import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { outputOf } from '../guest-output.js'
import type { Cases } from '../case.js'

const newGuestPath = (): string => `/tmp/awaitvm-hostile-${randomBytes(6).toString('hex')}`

export const guestHostile: Cases = ({ host, promisesInGuest }) => {
  if (!host.hasPaperFiles) {
    promisesInGuest(
      'links of a folder that is copied out stay links, wherever they lead, and nothing is written through them',
      ['guest.copyOut', 'guest.exec'],
      async (vm, trial) => {
        const folder = newGuestPath()
        const make =
          'mkdir -p "$0/a"; cd "$0"; echo in >a/file; ln -s /etc etc; ln -s ../../.. a/up; ln -s ../outside out'
        await outputOf(vm, ['sh', '-c', make, folder])
        await mkdir(trial.path('area'))
        await writeFile(trial.path('area/outside'), 'mine')
        await vm.guest.copyOut(folder, trial.path('area/copy')).unwrap()
        const links = ['etc', 'a/up', 'out'].map((name) => readlink(trial.path(`area/copy/${name}`)))
        expect(await Promise.all(links)).toEqual(['/etc', '../../..', '../outside'])
        expect((await readdir(trial.path('area'))).sort()).toEqual(['copy', 'outside'])
        expect(await readFile(trial.path('area/outside'), 'utf8')).toBe('mine')
        await outputOf(vm, ['rm', '-r', folder])
      },
    )

    promisesInGuest(
      'a folder of the guest with pipes or sockets is not copied out, and nothing is made here',
      ['guest.copyOut', 'guest.exec'],
      async (vm, trial) => {
        const folder = newGuestPath()
        await outputOf(vm, ['sh', '-c', 'mkdir "$0"; cd "$0"; echo file >file; mkfifo pipe', folder])
        await mkdir(trial.path('area'))
        const error = await failureOf(vm.guest.copyOut(folder, trial.path('area/copy')), 'GUEST_FILE_ERROR')
        expect(error.message).toContain('pipe')
        expect(await readdir(trial.path('area'))).toEqual([])
        await outputOf(vm, ['rm', '-r', folder])
      },
    )

    promisesInGuest('endless files are bounded', ['guest.readFile', 'guest.copyOut'], async (vm, trial) => {
      const error = await failureOf(vm.guest.readFile('/dev/zero', { maxBytes: 100_000 }), 'GUEST_FILE_ERROR')
      expect(['EFBIG', 'EINVAL']).toContain(error.errno)
      await failureOf(vm.guest.copyOut('/dev/zero', trial.path('zero')), 'GUEST_FILE_ERROR')
      expect(await readdir(trial.path('.'))).toEqual(['tmp'])
      const stream = vm.guest.createReadStream('/dev/zero')
      const outcome = await new Promise<unknown>((resolve) => {
        let size = 0
        stream.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > 1_000_000) stream.destroy()
        })
        stream.once('error', resolve).once('close', () => resolve('closed'))
      })
      expect(outcome === 'closed' || (outcome as { errno?: string }).errno === 'EINVAL').toBe(true)
      expect(await outputOf(vm, ['echo', 'alive'])).toBe('alive\n')
    })

    promisesInGuest(
      'a folder of very many entries is listed, with a limit',
      ['guest.readdir', 'guest.exec'],
      async (vm) => {
        const folder = newGuestPath()
        const make = 'mkdir "$0"; cd "$0"; i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); : >"entry-$i"; done'
        await outputOf(vm, ['sh', '-c', make, folder])
        expect(await vm.guest.readdir(folder).unwrap()).toHaveLength(3000)
        await outputOf(vm, ['rm', '-r', folder])
      },
    )
  }

  promisesInGuest(
    'a folder of this machine with pipes or sockets is not copied in, and nothing is made in the guest',
    ['guest.copyIn', 'guest.stat'],
    async (vm, trial) => {
      await mkdir(trial.path('tree/inner'), { recursive: true })
      await writeFile(trial.path('tree/file'), 'x')
      execFileSync('mkfifo', [trial.path('tree/inner/pipe')])
      const target = newGuestPath()
      const error = await failureOf(vm.guest.copyIn(trial.path('tree'), target), 'INVALID_ARGUMENT')
      expect(error.path).toBe('from')
      expect(error.message).toContain('pipe')
      expect(await vm.guest.exists(target).unwrap()).toBe(false)
    },
  )

  promisesInGuest(
    'links of this machine are copied as links, and not followed',
    ['guest.copyIn', 'guest.stat', 'guest.rm'],
    async (vm, trial) => {
      await writeFile(trial.path('outside'), 'secret')
      await mkdir(trial.path('tree'))
      await symlink(trial.path('outside'), trial.path('tree/link'))
      const target = newGuestPath()
      await vm.guest.copyIn(trial.path('tree'), target).unwrap()
      expect(await vm.guest.lstat(`${target}/link`).unwrap()).toMatchObject({
        type: 'symlink',
        target: trial.path('outside'),
      })
      await vm.guest.rm(target, { recursive: true }).unwrap()
    },
  )
}
