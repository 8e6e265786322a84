import type { Driver } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { LibvirtDriver } from './driver.js'
import { libvirtError } from './libvirt-errors.js'
import { LibvirtHost } from './libvirt-host.js'
import { addressOf } from './libvirt-uri.js'
import { dialerFor } from './rpc/transports/dialer-for.js'

/** Connects to a libvirt daemon: `qemu:///system`, `qemu+ssh://root@host/system`, `test:///default`. */
export async function openLibvirt(uri: URL, { operation, signal }: Task): Promise<Driver> {
  const address = addressOf(uri)
  const dialer = await dialerFor(address)
  try {
    const driver = new LibvirtDriver(await LibvirtHost.open(address, dialer, signal))
    driver.tidyUp()
    return driver
  } catch (error) {
    await dialer.close()
    throw libvirtError(error, { operation })
  }
}
