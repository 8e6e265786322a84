import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { expect, vi } from 'vitest'
import type { GuestFileErrno } from '../../../model/guest-file.js'
import type { Result } from '../../../result.js'
import type { VmError } from '../../../errors.js'
import type { Vm } from '../../../vm.js'
import { soon } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { outputOf } from '../guest-output.js'
import type { Cases } from '../case.js'

/** Names that a shell, an option parser or a line protocol would misread. */
const oddNames = [' ', '-rf', "it's", '"quoted"', '$HOME', '*', '\\', 'a\nb', '~', '#x', 'Ünïcödé 🚀', '...', 'a;b&c|d']

/** A folder of the case, which is removed at its end. */
async function inFolder(vm: Vm, run: (folder: string) => Promise<void>): Promise<void> {
  const folder = `/tmp/awaitvm-files-${randomBytes(6).toString('hex')}`
  await vm.guest.mkdir(folder).unwrap()
  await run(folder)
  await vm.guest.rm(folder, { recursive: true }).unwrap()
  expect(await vm.guest.exists(folder).unwrap()).toBe(false)
}

async function expectErrno(
  job: PromiseLike<Result<unknown, VmError>>,
  errno: GuestFileErrno,
  path: string,
): Promise<void> {
  const error = await failureOf(job, 'GUEST_FILE_ERROR')
  expect({ errno: error.errno, path: error.path }).toEqual({ errno, path })
}

export const guestFiles: Cases = ({ host, promisesInGuest }) => {
  promisesInGuest(
    'a file that is written has that content, and replaces the one before',
    ['guest.writeFile', 'guest.readFile'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        const file = `${folder}/file`
        const everyByte = Buffer.from(Array.from({ length: 70_001 }, (_, index) => (index * 11) % 256))
        for (const content of [everyByte, Buffer.alloc(0), Buffer.from('short')]) {
          await vm.guest.writeFile(file, content).unwrap()
          const read = await vm.guest.readFile(file, { encoding: 'buffer' }).unwrap()
          expect(Buffer.compare(read, content)).toBe(0)
        }
        await vm.guest.writeFile(file, 'é\n').unwrap()
        expect(await vm.guest.readFile(file).unwrap()).toBe('é\n')
        await vm.guest.writeFile(file, 'more', { append: true }).unwrap()
        expect(await vm.guest.readFile(file).unwrap()).toBe('é\nmore')
        expect(await vm.guest.readdir(folder).unwrap()).toEqual(['file'])
      })
    },
  )

  promisesInGuest(
    'content comes from streams and iterables, and an error of one leaves the file as it was',
    ['guest.writeFile', 'guest.readFile'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        const file = `${folder}/file`
        await vm.guest.writeFile(file, Readable.from([Buffer.from('one, '), Buffer.from('two')])).unwrap()
        expect(await vm.guest.readFile(file).unwrap()).toBe('one, two')
        const cause = new Error('no more of it')
        const failing = async function* (): AsyncGenerator<string> {
          yield await Promise.resolve('half')
          throw cause
        }
        const error = await failureOf(vm.guest.writeFile(file, failing()), 'INVALID_ARGUMENT')
        expect(error.cause).toBe(cause)
        expect(await vm.guest.readFile(file).unwrap()).toBe('one, two')
        expect(await vm.guest.readdir(folder).unwrap()).toEqual(['file'])
      })
    },
  )

  promisesInGuest(
    'a stream writes a file that is complete under its name once the stream has finished',
    ['guest.writeFile', 'guest.readFile'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        const content = randomBytes(300_000)
        const pieces = Array.from({ length: 6 }, (_, at) => content.subarray(at * 50_000, (at + 1) * 50_000))
        await pipeline(Readable.from(pieces), vm.guest.createWriteStream(`${folder}/file`))
        const read = await buffer(vm.guest.createReadStream(`${folder}/file`))
        expect(Buffer.compare(read, content)).toBe(0)
        const part = await buffer(vm.guest.createReadStream(`${folder}/file`, { start: 100_001, end: 200_002 }))
        expect(Buffer.compare(part, content.subarray(100_001, 200_003))).toBe(0)

        const given = vm.guest.createWriteStream(`${folder}/other`)
        given.write('half')
        await new Promise((resolve) => given.once('close', resolve).destroy())
        await vi.waitFor(async () => expect(await vm.guest.readdir(folder).unwrap()).toEqual(['file']), soon)
        await expect(buffer(vm.guest.createReadStream(`${folder}/none`))).rejects.toMatchObject({
          code: 'GUEST_FILE_ERROR',
          errno: 'ENOENT',
        })
      })
    },
  )

  promisesInGuest('a file that is read into memory has a limit', ['guest.writeFile', 'guest.readFile'], async (vm) => {
    await inFolder(vm, async (folder) => {
      const file = `${folder}/file`
      await vm.guest.writeFile(file, 'x'.repeat(1001)).unwrap()
      const error = await failureOf(vm.guest.readFile(file, { maxBytes: 1000 }), 'GUEST_FILE_ERROR')
      expect([error.errno, error.path]).toEqual(['EFBIG', file])
      expect(error.hint).toContain('createReadStream')
      expect((await vm.guest.readFile(file, { maxBytes: 1001 }).unwrap()).length).toBe(1001)
    })
  })

  promisesInGuest(
    'folders are made, listed and removed',
    ['guest.mkdir', 'guest.readdir', 'guest.rm', 'guest.stat', 'guest.writeFile'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        await vm.guest.mkdir(`${folder}/a/b/c`, { recursive: true }).unwrap()
        await vm.guest.mkdir(`${folder}/a/b/c`, { recursive: true }).unwrap()
        await vm.guest.writeFile(`${folder}/a/file`, 'x').unwrap()
        expect((await vm.guest.readdir(`${folder}/a`).unwrap()).toSorted()).toEqual(['b', 'file'])
        const entries = await vm.guest.readdir(`${folder}/a`, { withFileTypes: true }).unwrap()
        expect(entries.toSorted((one, other) => (one.name < other.name ? -1 : 1))).toEqual([
          { name: 'b', type: 'directory' },
          { name: 'file', type: 'file' },
        ])
        expect(await vm.guest.readdir(`${folder}/a/b/c`).unwrap()).toEqual([])
        await vm.guest.rm(`${folder}/a/file`).unwrap()
        await vm.guest.rm(`${folder}/none`, { force: true }).unwrap()
        await vm.guest.rm(`${folder}/a`, { recursive: true }).unwrap()
        expect(await vm.guest.readdir(folder).unwrap()).toEqual([])
      })
    },
  )

  promisesInGuest(
    'a file is told by its size, permissions and times',
    ['guest.stat', 'guest.writeFile', 'guest.mkdir'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        const { time } = await vm.guest.getInfo().unwrap()
        await vm.guest.writeFile(`${folder}/file`, 'hello', { mode: 0o640 }).unwrap()
        const stats = await vm.guest.stat(`${folder}/file`).unwrap()
        expect(stats).toMatchObject({ type: 'file', size: 5, mode: 0o640 })
        // The guest's clock has whole seconds here and there.
        for (const at of [stats.mtime, stats.atime, stats.ctime]) {
          expect(at.getTime()).toBeGreaterThan(time.getTime() - 10_000)
        }
        expect([stats.uid, stats.gid].every((id) => Number.isInteger(id) && id >= 0)).toBe(true)
        await vm.guest.mkdir(`${folder}/private`, { mode: 0o700 }).unwrap()
        expect(await vm.guest.stat(`${folder}/private`).unwrap()).toMatchObject({ type: 'directory', mode: 0o700 })
        // What replaces a file keeps its permissions.
        await vm.guest.writeFile(`${folder}/file`, 'longer').unwrap()
        expect(await vm.guest.stat(`${folder}/file`).unwrap()).toMatchObject({ size: 6, mode: 0o640 })
      })
    },
  )

  promisesInGuest('a file is renamed, and replaces another', ['guest.rename', 'guest.writeFile'], async (vm) => {
    await inFolder(vm, async (folder) => {
      await vm.guest.writeFile(`${folder}/old`, 'content').unwrap()
      await vm.guest.rename(`${folder}/old`, `${folder}/new`).unwrap()
      expect(await vm.guest.readdir(folder).unwrap()).toEqual(['new'])
      await vm.guest.writeFile(`${folder}/other`, 'replaced').unwrap()
      await vm.guest.rename(`${folder}/new`, `${folder}/other`).unwrap()
      expect(await vm.guest.readFile(`${folder}/other`).unwrap()).toBe('content')
      await vm.guest.mkdir(`${folder}/folder`).unwrap()
      await vm.guest.rename(`${folder}/folder`, `${folder}/moved`).unwrap()
      expect((await vm.guest.readdir(folder).unwrap()).toSorted()).toEqual(['moved', 'other'])
    })
  })

  promisesInGuest(
    'what the guest refuses has the name of its error and the path, and changes nothing',
    ['guest.readFile', 'guest.writeFile', 'guest.readdir', 'guest.stat', 'guest.mkdir', 'guest.rm', 'guest.rename'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        const path = (name: string): string => `${folder}/${name}`
        await vm.guest.writeFile(path('file'), 'x').unwrap()
        await vm.guest.mkdir(path('full')).unwrap()
        await vm.guest.writeFile(path('full/file'), 'y').unwrap()
        const { guest } = vm
        await expectErrno(guest.readFile(path('none')), 'ENOENT', path('none'))
        await expectErrno(guest.readFile(path('full')), 'EISDIR', path('full'))
        await expectErrno(guest.readFile(path('file/below')), 'ENOTDIR', path('file/below'))
        await expectErrno(guest.writeFile(path('none/file'), 'z'), 'ENOENT', path('none/file'))
        await expectErrno(guest.writeFile(path('full'), 'z'), 'EISDIR', path('full'))
        await expectErrno(guest.readdir(path('none')), 'ENOENT', path('none'))
        await expectErrno(guest.readdir(path('file')), 'ENOTDIR', path('file'))
        await expectErrno(guest.stat(path('none')), 'ENOENT', path('none'))
        await expectErrno(guest.mkdir(path('file')), 'EEXIST', path('file'))
        await expectErrno(guest.mkdir(path('none/folder')), 'ENOENT', path('none/folder'))
        await expectErrno(guest.mkdir(path('file/folder'), { recursive: true }), 'ENOTDIR', path('file/folder'))
        await expectErrno(guest.rm(path('none')), 'ENOENT', path('none'))
        await expectErrno(guest.rm(path('full')), 'EISDIR', path('full'))
        await expectErrno(guest.rename(path('none'), path('new')), 'ENOENT', path('none'))
        await expectErrno(guest.rename(path('file'), path('full')), 'EISDIR', path('full'))
        expect((await guest.readdir(folder).unwrap()).toSorted()).toEqual(['file', 'full'])
        expect(await guest.readFile(path('full/file')).unwrap()).toBe('y')
        expect(await guest.exists(path('file/below')).unwrap()).toBe(false)
        expect(await guest.exists(path('file')).unwrap()).toBe(true)
      })
    },
  )

  promisesInGuest(
    'names may have any character',
    ['guest.writeFile', 'guest.readFile', 'guest.readdir', 'guest.rm', 'guest.rename', 'guest.mkdir', 'guest.stat'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        for (const name of oddNames) {
          await vm.guest.mkdir(`${folder}/${name}`).unwrap()
          await vm.guest.writeFile(`${folder}/${name}/${name}`, name).unwrap()
          await vm.guest.rename(`${folder}/${name}/${name}`, `${folder}/${name}/${name}${name}`).unwrap()
          expect(await vm.guest.readdir(`${folder}/${name}`).unwrap()).toEqual([`${name}${name}`])
          expect(await vm.guest.readFile(`${folder}/${name}/${name}${name}`).unwrap()).toBe(name)
          expect((await vm.guest.stat(`${folder}/${name}`).unwrap()).type).toBe('directory')
        }
        expect((await vm.guest.readdir(folder).unwrap()).toSorted()).toEqual(oddNames.toSorted())
        for (const name of oddNames) await vm.guest.rm(`${folder}/${name}`, { recursive: true }).unwrap()
        expect(await vm.guest.readdir(folder).unwrap()).toEqual([])
      })
    },
  )

  if (host.hasPaperFiles) return

  promisesInGuest(
    'programs see the same files: links, devices, owners',
    ['guest.stat', 'guest.readdir', 'guest.readFile', 'guest.exec'],
    async (vm) => {
      await inFolder(vm, async (folder) => {
        const make =
          'cd "$0"; echo content >file; ln -s file link; ln -s none dangling; mkfifo pipe; ln -s loop loop; mkdir dir; ln -s dir dirlink'
        await outputOf(vm, ['sh', '-c', make, folder])
        const { guest } = vm
        const entries = await guest.readdir(folder, { withFileTypes: true }).unwrap()
        expect(Object.fromEntries(entries.map(({ name, type }) => [name, type]))).toEqual({
          file: 'file',
          link: 'symlink',
          dangling: 'symlink',
          pipe: 'other',
          loop: 'symlink',
          dir: 'directory',
          dirlink: 'symlink',
        })
        expect(await guest.lstat(`${folder}/link`).unwrap()).toMatchObject({ type: 'symlink', target: 'file' })
        expect(await guest.stat(`${folder}/link`).unwrap()).toMatchObject({ type: 'file', size: 8 })
        await expectErrno(guest.stat(`${folder}/dangling`), 'ENOENT', `${folder}/dangling`)
        await expectErrno(guest.stat(`${folder}/loop`), 'ELOOP', `${folder}/loop`)
        expect(await guest.readFile(`${folder}/link`).unwrap()).toBe('content\n')
        await expectErrno(guest.readFile(`${folder}/pipe`), 'EINVAL', `${folder}/pipe`)
        // A link to a folder is removed, and not the folder's content.
        await guest.writeFile(`${folder}/dir/kept`, 'kept').unwrap()
        await guest.rm(`${folder}/dirlink`, { recursive: true }).unwrap()
        expect(await guest.readdir(`${folder}/dir`).unwrap()).toEqual(['kept'])
        // A file that replaces one keeps its owner.
        if ((await outputOf(vm, ['id', '-u'])) !== '0\n') return
        await outputOf(vm, ['chown', '1234:4321', `${folder}/file`])
        await guest.writeFile(`${folder}/link`, 'new').unwrap()
        expect(await guest.stat(`${folder}/file`).unwrap()).toMatchObject({ uid: 1234, gid: 4321, size: 3 })
        expect(await guest.lstat(`${folder}/link`).unwrap()).toMatchObject({ type: 'symlink' })
      })
    },
  )

  promisesInGuest('files without a size are read to their end', ['guest.readFile', 'guest.exec'], async (vm) => {
    const version = await outputOf(vm, ['cat', '/proc/version'])
    expect(await vm.guest.readFile('/proc/version').unwrap()).toBe(version)
  })
}
