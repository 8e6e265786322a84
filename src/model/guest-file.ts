/** What a name in a folder of a guest is. A link is not followed. */
export const guestFileTypes = ['file', 'directory', 'symlink', 'other'] as const

/** `'file'`, `'directory'`, `'symlink'`, or `'other'`: a device, a socket or a named pipe. */
export type GuestFileType = (typeof guestFileTypes)[number]

/** A name in a folder of a guest. */
export interface GuestEntry {
  /** Without the folder. */
  readonly name: string
  /** What it is. */
  readonly type: GuestFileType
}

/** What a guest tells of a file. */
export interface GuestStats {
  /** What it is. */
  readonly type: GuestFileType
  /** In bytes; of a file. */
  readonly size: number
  /** The permissions, as chmod(2) takes them: 0o644. */
  readonly mode: number
  /** The owner's number. */
  readonly uid: number
  /** The group's number. */
  readonly gid: number
  /** When the content was changed. */
  readonly mtime: Date
  /** When the content was read. */
  readonly atime: Date
  /** When the file's properties were changed. */
  readonly ctime: Date
  /** Where the link leads, as it is written there; of a link only. */
  readonly target?: string | undefined
}

/** The codes of {@link GuestFileErrno}. */
export const guestFileErrnos = [
  'EACCES',
  'EBUSY',
  'EEXIST',
  'EFBIG',
  'EINVAL',
  'EIO',
  'EISDIR',
  'ELOOP',
  'EMLINK',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'ENOTEMPTY',
  'EPERM',
  'EROFS',
  'ETXTBSY',
  'EXDEV',
] as const

/** Why a guest refused something about a file, by the name of the error in errno(3). */
export type GuestFileErrno = (typeof guestFileErrnos)[number]
