import type { ProgramOptions } from '../model/exec.js'
import type { ProgramIo, Sink } from './program-io.js'

/** The VM that an operation is about. */
export interface OnVm {
  /** The id of the VM. */
  readonly vm: string
}

/** A file or folder of a guest. */
export interface GuestPath {
  /** Its path in the guest. */
  readonly path: string
}

/** What a driver is given for each operation in a guest. */
export interface GuestInputs {
  /** The VM, and the program. */
  'guest.exec': OnVm & {
    /** A program and its arguments; or a line for the guest's shell. */
    readonly command: string | readonly string[]
    /** How the program runs. */
    readonly options: ProgramOptions
    /** What passes between the program and its user. */
    readonly io: ProgramIo
  }
  /** The VM, and the file. */
  'guest.readFile': OnVm & {
    /** The file in the guest. */
    readonly path: string
    /** Takes the content. */
    readonly output: Sink
    /** The first byte that is wanted; 0 if absent. */
    readonly start?: number | undefined
    /** The byte after the last one that is wanted; the end of the file if absent. */
    readonly end?: number | undefined
  }
  /** The VM, and the file. */
  'guest.writeFile': OnVm & {
    /** The file in the guest. */
    readonly path: string
    /** The content. An error that it ends with is that of the operation. */
    readonly input: AsyncIterable<Uint8Array>
    /** The permissions of a new file; 0o666 less the umask of the guest if absent. */
    readonly mode?: number | undefined
    /** Whether the content goes to the end of the file. If not, the file has its old content until it has all of the new one. */
    readonly append: boolean
  }
  /** The VM, and the folder. */
  'guest.readdir': OnVm & GuestPath
  /** The VM, and the file. */
  'guest.stat': OnVm &
    GuestPath & {
      /** Whether what a link leads to is wanted, and not the link. */
      readonly followLinks: boolean
    }
  /** The VM, and the new folder. */
  'guest.mkdir': OnVm &
    GuestPath & {
      /** Whether missing folders above it are made as well, and an existing one is no error. */
      readonly recursive: boolean
      /** The permissions; 0o777 less the umask of the guest if absent. */
      readonly mode?: number | undefined
    }
  /** The VM, and what is removed. A link is not followed. */
  'guest.rm': OnVm &
    GuestPath & {
      /** Whether a folder is removed, with all that is in it. */
      readonly recursive: boolean
      /** Whether it is no error if there is nothing of that name. */
      readonly force: boolean
    }
  /** The VM, and the file or folder. */
  'guest.rename': OnVm & {
    /** The present name. */
    readonly from: string
    /** The new name; a file there is replaced. */
    readonly to: string
  }
  /** The VM, and the file or folder. */
  'guest.copyIn': OnVm & {
    /** A file or folder of the machine of this process. */
    readonly from: string
    /** Where it goes in the guest. */
    readonly to: string
    /** The owner in the guest, as chown(1) takes it; the user of the host's way into the guest if absent. */
    readonly owner?: string | undefined
  }
  /** The VM, and the file or folder. */
  'guest.copyOut': OnVm & {
    /** A file or folder of the guest. */
    readonly from: string
    /** Where it goes on the machine of this process. */
    readonly to: string
  }
  /** The VM. */
  'guest.getInfo': OnVm
  /** The VM. */
  'guest.waitUntilReady': OnVm
  /** The VM, and the port. */
  'guest.waitForPort': OnVm & {
    /** The TCP port. */
    readonly port: number
    /** An address of the guest that it must listen at, or `localhost`; any of its addresses if absent. */
    readonly host?: string | undefined
  }
  /** The VM. */
  'guest.getNetworkAddresses': OnVm
}
