/** The names that awaitvm uses, and those of which it takes devices and nodes for its own. */
const ownName =
  /^(?:control|watch|events|serial|agent|bulk|balloon|plug|scsi|seed|share-memory|firmware|memory|save|load|drop|tpm|tpm0|agent-port|bulk-port)$|^(?:drive-|disk-|copy|cdrom|floppy|net\d|share\d|hub|tap)/

/** True for a name of a device, node, network or port of QEMU that is awaitvm's, or may become so. */
export const isOwnName = (name: string): boolean => ownName.test(name)
