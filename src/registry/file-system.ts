import { statfsSync } from 'node:fs'

/**
 * Types of file systems that only one kernel can have mounted, as in statfs(2): ext, XFS, Btrfs, F2FS, ZFS, bcachefs, overlayfs
 * and tmpfs. With all others, such as NFS, SMB, FUSE, 9p or virtiofs, several machines may share the files.
 */
const local: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x794c7630, 0x01021994, 0x858458f6,
])

/** Whether a folder is on a file system that no other machine has mounted at the same time. */
export const isOnLocalDisk = (folder: string): boolean => local.has(statfsSync(folder).type >>> 0)
