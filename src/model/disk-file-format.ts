/** The formats of a disk in one file. */
export const diskFileFormats = ['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi', 'vhd'] as const

/**
 * The format of a disk in one file: `'raw'`, the bytes of the disk, with holes for what is zero; `'qcow2'` of QEMU; `'vmdk'` of VMware;
 * `'vhdx'` of Hyper-V; `'vdi'` of VirtualBox; `'vhd'` of Virtual PC and Azure.
 */
export type DiskFileFormat = (typeof diskFileFormats)[number]
