import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { outputOf } from '../guest-output.js'
import type { Cases } from '../case.js'

const newGuestPath = (): string => `/tmp/awaitvm-${randomBytes(6).toString('hex')}`

export const guestFileCopies: Cases = ({ host, promisesInGuest }) => {
  promisesInGuest(
    'a file that is copied in and out again is unchanged',
    ['guest.copyIn', 'guest.copyOut', 'guest.exec'],
    async (vm, trial) => {
      for (const content of [randomBytes(1_000_000), Buffer.alloc(0), Buffer.from('old\n')]) {
        const file = `/tmp/awaitvm it's "$HOME"-${randomBytes(6).toString('hex')}`
        await writeFile(trial.path('in'), content)
        await vm.guest.copyIn(trial.path('in'), file).unwrap()
        await vm.guest.copyOut(file, trial.path('out')).unwrap()
        expect(Buffer.compare(await readFile(trial.path('out')), content)).toBe(0)
        await outputOf(vm, ['rm', file])
      }
    },
  )

  promisesInGuest(
    'copying a file that does not exist ends with an error, and makes nothing',
    ['guest.copyIn', 'guest.copyOut'],
    async (vm, trial) => {
      expect((await failureOf(vm.guest.copyIn(trial.path('none'), '/tmp/x'), 'INVALID_ARGUMENT')).path).toBe('from')
      const out = await failureOf(vm.guest.copyOut('/nowhere/none', trial.path('out')), 'GUEST_FILE_ERROR')
      expect([out.errno, out.path]).toEqual(['ENOENT', '/nowhere/none'])
      expect(existsSync(trial.path('out'))).toBe(false)
      await writeFile(trial.path('in'), 'x')
      const into = await failureOf(vm.guest.copyIn(trial.path('in'), '/nowhere/none'), 'GUEST_FILE_ERROR')
      expect([into.errno, into.path]).toEqual(['ENOENT', '/nowhere/none'])
    },
  )

  promisesInGuest(
    'only regular files of the guest are copied or replaced',
    ['guest.copyIn', 'guest.copyOut', 'guest.exec'],
    async (vm, trial) => {
      await writeFile(trial.path('in'), 'x')
      const paths = ['/dev/null', '/dev/zero']
      if (!host.hasPaperFiles) {
        const pipe = newGuestPath()
        await outputOf(vm, ['mkfifo', pipe])
        paths.push(pipe)
      }
      for (const path of paths) {
        const into = await failureOf(vm.guest.copyIn(trial.path('in'), path), 'GUEST_FILE_ERROR')
        const out = await failureOf(vm.guest.copyOut(path, trial.path('out')), 'GUEST_FILE_ERROR')
        for (const error of [into, out]) expect(error).toMatchObject({ errno: 'EINVAL', path })
        expect(existsSync(trial.path('out'))).toBe(false)
      }
      const folder = await failureOf(vm.guest.copyIn(trial.path('in'), '/tmp'), 'GUEST_FILE_ERROR')
      expect(folder).toMatchObject({ errno: 'EISDIR', path: '/tmp' })
      expect(
        await outputOf(vm, ['sh', '-c', '[ -c /dev/null ] && [ -c /dev/zero ] && [ -d /tmp ] && echo unchanged']),
      ).toBe('unchanged\n')
      if (!host.hasPaperFiles) await outputOf(vm, ['rm', paths.at(-1)!])
    },
  )

  promisesInGuest(
    'a copy follows links in the guest, and replaces the files that they lead to',
    ['guest.copyIn', 'guest.copyOut', 'guest.exec'],
    async (vm, trial) => {
      if (host.hasPaperFiles) return
      const folder = newGuestPath()
      await writeFile(trial.path('in'), 'new')
      const make =
        'mkdir -p "$0/a/b" "$0/c" && cd "$0" && echo old >c/file && ln -s ../c a/down && ln -s ../down/file a/b/link'
      await outputOf(vm, ['sh', '-c', `${make} && ln -s none dangling && ln -s loop loop`, folder])
      await vm.guest.copyIn(trial.path('in'), `${folder}/a/b/link`).unwrap()
      const look = 'cd "$0" && [ -h a/b/link ] && [ -h a/down ] && cat c/file && find . -name ".awaitvm*"'
      expect(await outputOf(vm, ['sh', '-c', look, folder])).toBe('new')
      await vm.guest.copyOut(`${folder}/a/b/link`, trial.path('out')).unwrap()
      expect(await readFile(trial.path('out'), 'utf8')).toBe('new')
      for (const [name, errno] of [
        ['dangling', 'ENOENT'],
        ['loop', 'ELOOP'],
      ]) {
        const error = await failureOf(vm.guest.copyIn(trial.path('in'), `${folder}/${name!}`), 'GUEST_FILE_ERROR')
        expect(error.errno).toBe(errno)
      }
      const rest = await outputOf(vm, ['sh', '-c', 'cd "$0" && [ -h dangling ] && ls -A && cd / && rm -r "$0"', folder])
      expect(rest).toBe('a\nc\ndangling\nloop\n')
    },
  )

  promisesInGuest(
    'a file that a copy replaces keeps its permissions and owner; a new one has those of what is copied',
    ['guest.copyIn', 'guest.copyOut', 'guest.exec'],
    async (vm, trial) => {
      const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8)
      await writeFile(trial.path('in'), 'new')
      await chmod(trial.path('in'), 0o754)
      const folder = newGuestPath()
      if (!host.hasPaperFiles) {
        const make = 'mkdir "$0" && cd "$0" && echo old >kept && chmod 640 kept && ln -s kept link'
        await outputOf(vm, ['sh', '-c', `${make} && if [ "$(id -u)" = 0 ]; then chown 1234:4321 kept; fi`, folder])
        const look = (name: string): Promise<string> =>
          outputOf(vm, [
            'sh',
            '-c',
            'cd "$0" && ls -ln "$1" | cut -c 1-10 && ls -ln "$1" | tr -s " " | cut -d " " -f 3,4',
            folder,
            name,
          ])
        const [before, fresh] = [await look('kept'), /^-rwxr-xr--\n/]
        expect(before).toMatch(/^-rw-r-----\n/)
        await vm.guest.copyIn(trial.path('in'), `${folder}/kept`).unwrap()
        expect(await look('kept')).toBe(before)
        await vm.guest.copyIn(trial.path('in'), `${folder}/link`).unwrap()
        expect(await look('kept')).toBe(before)
        await vm.guest.copyIn(trial.path('in'), `${folder}/fresh`).unwrap()
        expect(await look('fresh')).toMatch(fresh)
        expect(await outputOf(vm, ['sh', '-c', 'cd "$0" && cat kept && ls -A', folder])).toBe('newfresh\nkept\nlink\n')
        await outputOf(vm, ['rm', '-r', folder])
      }

      const file = newGuestPath()
      await vm.guest.copyIn(trial.path('in'), file).unwrap()
      await vm.guest.copyOut(file, trial.path('out')).unwrap()
      expect(await modeOf(trial.path('out'))).toBe('754')
      for (const mode of [0o644, 0o440, 0o600]) {
        await chmod(trial.path('out'), mode)
        if (process.getuid?.() === 0) await chown(trial.path('out'), 1234, 4321)
        const before = await stat(trial.path('out'))
        await vm.guest.copyOut(file, trial.path('out')).unwrap()
        const { uid, gid } = await stat(trial.path('out'))
        expect({ mode: await modeOf(trial.path('out')), uid, gid }).toEqual({
          mode: mode.toString(8),
          uid: before.uid,
          gid: before.gid,
        })
      }
    },
  )

  promisesInGuest(
    'paths in the guest may begin with a dash, and a copy that fails leaves nothing behind',
    ['guest.copyIn', 'guest.copyOut', 'guest.exec'],
    async (vm, trial) => {
      if (host.hasPaperFiles) return
      await writeFile(trial.path('in'), 'dashed')
      const name = `-x${randomBytes(6).toString('hex')}`
      for (const content of ['dashed', 'again']) {
        await writeFile(trial.path('in'), content)
        await vm.guest.copyIn(trial.path('in'), name).unwrap()
        await vm.guest.copyOut(name, trial.path('out')).unwrap()
        expect(await readFile(trial.path('out'), 'utf8')).toBe(content)
      }
      await outputOf(vm, ['sh', '-c', 'mkdir "./$0-folder"', name])
      expect((await failureOf(vm.guest.copyIn(trial.path('in'), `${name}-folder`), 'GUEST_FILE_ERROR')).errno).toBe(
        'EISDIR',
      )
      const rest = 'ls -A | grep "^[.]awaitvm-"; rm "./$0" && rmdir "./$0-folder"'
      expect(await outputOf(vm, ['sh', '-c', rest, name])).toBe('')
    },
  )

  promisesInGuest(
    'only regular files of this machine are copied or replaced; links are followed',
    ['guest.copyIn', 'guest.copyOut'],
    async (vm, trial) => {
      const pipe = trial.path('pipe')
      execFileSync('mkfifo', [pipe])
      await mkdir(trial.path('folder'))
      for (const path of ['/dev/null', pipe, trial.path('folder')]) {
        expect((await failureOf(vm.guest.copyOut('/etc/hostname', path), 'INVALID_ARGUMENT')).path).toBe('to')
        if (path === trial.path('folder')) continue
        expect((await failureOf(vm.guest.copyIn(path, '/tmp/x'), 'INVALID_ARGUMENT')).path).toBe('from')
      }
      expect((await stat('/dev/null')).isCharacterDevice()).toBe(true)

      await writeFile(trial.path('in'), 'content')
      await vm.guest.copyIn(trial.path('in'), '/tmp/awaitvm-file').unwrap()
      await writeFile(trial.path('folder/real'), 'old')
      await symlink('folder/real', trial.path('link'))
      await vm.guest.copyOut('/tmp/awaitvm-file', trial.path('link')).unwrap()
      expect((await lstat(trial.path('link'))).isSymbolicLink()).toBe(true)
      expect(await readFile(trial.path('folder/real'), 'utf8')).toBe('content')
      expect(await readdir(trial.path('folder'))).toEqual(['real'])
    },
  )

  promisesInGuest(
    'a cancelled copy out of the guest leaves a complete file or none',
    ['guest.copyIn', 'guest.copyOut', 'guest.exec'],
    async (vm, trial) => {
      const file = `/tmp/awaitvm-${randomBytes(6).toString('hex')}`
      const size = 2_000_000
      await writeFile(trial.path('in'), Buffer.alloc(size))
      await vm.guest.copyIn(trial.path('in'), file).unwrap()
      const before = await readdir(trial.path('.'))
      const job = vm.guest.copyOut(file, trial.path('out'))
      await job.cancel()
      const result = await job
      if (result.isOk()) expect((await readFile(trial.path('out'))).byteLength).toBe(size)
      else {
        expect(result.error.code).toBe('JOB_CANCELLED')
        expect(await readdir(trial.path('.'))).toEqual(before)
      }
      await outputOf(vm, ['rm', file])
    },
  )
}
