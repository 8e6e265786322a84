/** I/O ports of the power management registers, as in QEMU's PIIX4 and SeaBIOS. */
const pmEventPort = 0x600
const pmControlPort = 0x604
export const sciIrq = 9

/** The address of the tables, in the area that an operating system scans for the RSDP (ACPI 6.5, 5.2.5.1). */
export const acpiAddress = 0xe0000

const rsdtOffset = 0x40
const facsOffset = 0x80
const fadtOffset = 0x100
const dsdtOffset = 0x200
const size = 0x300

/** Name (\_S5, Package () { 0, 0, 0, 0 }): the sleep type to write for power off. */
const s5 = [0x08, 0x5c, 0x5f, 0x53, 0x35, 0x5f, 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00]

/**
 * The smallest ACPI with a power button and a power off: RSDP, RSDT, FACS, and a
 * revision 1 FADT and DSDT. The hardware is always in ACPI mode (no SMI command port), as on a machine without SMM.
 *
 * @returns the bytes for the memory at {@link acpiAddress}
 */
export const acpiTables = (): Uint8Array => {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)

  writeText(bytes, 0, 'RSD PTR ')
  writeText(bytes, 9, 'AWAITV')
  view.setUint32(16, acpiAddress + rsdtOffset, true)
  bytes[8] = checksum(bytes.subarray(0, 20))

  view.setUint32(rsdtOffset + 36, acpiAddress + fadtOffset, true)
  finishTable(bytes, rsdtOffset, 'RSDT', 40)

  writeText(bytes, facsOffset, 'FACS')
  view.setUint32(facsOffset + 4, 64, true)

  const fadt = new DataView(bytes.buffer, fadtOffset)
  fadt.setUint32(36, acpiAddress + facsOffset, true)
  fadt.setUint32(40, acpiAddress + dsdtOffset, true)
  fadt.setUint16(46, sciIrq, true)
  fadt.setUint32(56, pmEventPort, true)
  fadt.setUint32(64, pmControlPort, true)
  fadt.setUint8(88, 4) // PM1_EVT_LEN
  fadt.setUint8(89, 2) // PM1_CNT_LEN
  fadt.setUint16(96, 0xffff, true) // no C2 state
  fadt.setUint16(98, 0xffff, true) // no C3 state
  // WBINVD works, HLT works, no sleep button and no RTC wake in the fixed registers: but a power button.
  fadt.setUint32(112, 0x65, true)
  finishTable(bytes, fadtOffset, 'FACP', 116)

  bytes.set(s5, dsdtOffset + 36)
  finishTable(bytes, dsdtOffset, 'DSDT', 36 + s5.length)
  return bytes
}

/** The common header of a table (ACPI 6.5, 5.2.6), with the checksum over all of it. */
const finishTable = (bytes: Uint8Array, offset: number, signature: string, length: number): void => {
  const view = new DataView(bytes.buffer, offset)
  writeText(bytes, offset, signature)
  view.setUint32(4, length, true)
  view.setUint8(8, 1)
  writeText(bytes, offset + 10, 'AWAITV')
  writeText(bytes, offset + 16, 'AWAITVM ')
  view.setUint32(24, 1, true)
  writeText(bytes, offset + 28, 'AWVM')
  view.setUint32(32, 1, true)
  view.setUint8(9, checksum(bytes.subarray(offset, offset + length)))
}

const writeText = (bytes: Uint8Array, offset: number, text: string): void => {
  bytes.set(Buffer.from(text, 'latin1'), offset)
}

/** The checksum: with it, the bytes add up to zero. Its own byte must be zero before. */
const checksum = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff
