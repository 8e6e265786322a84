import { expect, test } from 'vitest'
import { findInList } from '../../../../src/images/cache/checksum.js'

const one = '1'.repeat(64)
const two = '2'.repeat(64)
const long = '3'.repeat(128)

test.each([
  ['sha256sum', `${two}  other.img\n${one}  disk.img\n`, one],
  ['sha256sum -b', `${one} *disk.img\n`, one],
  ['a folder of its own', `${one}  ./disk.img\n`, one],
  ['capital letters', `${'AB'.repeat(32)}  disk.img\n`, 'ab'.repeat(32)],
  ['lines of DOS', `${one}  disk.img\r\n`, one],
  ['Fedora', `# disk.img: 42 bytes\nSHA256 (disk.img) = ${one}\n`, one],
  ['BSD, with two algorithms', `SHA512 (disk.img) = ${long}\nSHA256 (disk.img) = ${one}\n`, one],
  ['a signature around it', `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 (disk.img) = ${one}\n`, one],
  ['another name', `${one}  disk.img.sig\n${two}  my-disk.img\n`, undefined],
  ['another algorithm', `${long}  disk.img\n`, undefined],
  ['two answers', `${one}  disk.img\n${two}  disk.img\n`, undefined],
  ['the same answer twice', `${one}  disk.img\n${one} *disk.img\n`, one],
])('a list of %s', (_kind, list, digest) => {
  expect(findInList(list, 'disk.img', 'sha256')).toBe(digest)
})
