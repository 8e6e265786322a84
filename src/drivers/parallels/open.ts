import type { Driver } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { ParallelsDriver } from './driver.js'
import { ParallelsHost } from './parallels-host.js'
import { serviceInfoOf } from './host-info.js'
import { LocalTransport } from './local-transport.js'
import { parallelsError } from './parallels-errors.js'
import { Prlctl } from './prlctl.js'
import { ProgramRunner } from './program-runner.js'
import { SshTransport } from './ssh-transport.js'
import { addressOf } from './uri.js'

/** Connects to `parallels:` on this machine, or to `parallels+ssh://user@host`. */
export async function openParallels(uri: URL, { operation, signal }: Task): Promise<Driver> {
  const { ssh, sshConfig, ...options } = addressOf(uri)
  const transport = ssh === undefined ? new LocalTransport() : await SshTransport.open(ssh, sshConfig)
  const runner = new ProgramRunner(transport)
  const prlctl = new Prlctl(runner, options)
  const host = new ParallelsHost(prlctl, transport, runner)
  try {
    const { version } = serviceInfoOf(await prlctl.service('info', '--json'))
    prlctl.flavour = /^desktop/i.test(version) ? 'desktop' : 'virtuozzo'
    prlctl.sendsKeys = prlctl.flavour === 'desktop' && (await prlctl.knows('send-key-event'))
    signal.throwIfAborted()
    await host.open()
    signal.throwIfAborted()
    const driver = new ParallelsDriver(host)
    driver.tidyUp()
    return driver
  } catch (error) {
    await host.close()
    throw parallelsError(error, { operation })
  }
}
