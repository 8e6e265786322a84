import { connect, type ConnectOptions, type Server, type Vm, type VmSpec } from 'awaitvm'
import { execGuest, GuestLacksError, type ConformanceHost, type OpenHost } from 'awaitvm/testing/conformance'
import { Exclusive } from '../../src/exclusive.js'
import { intercept, loaderOf, type OpenDriver } from '../../src/schemes.js'
import { OwnVmsDriver } from './own-vms-driver.js'
import { removeVms } from './removal.js'
import type { CheckSettings } from './settings.js'

type Traits = Omit<ConformanceHost, 'name' | 'open'>

const templateMissing = 'no template VM was named, so that there is no guest'

/** The guest of the template. Without a template, VMs have no guest. */
const guestOf = (isThere: boolean): Traits['guest'] => ({
  ...execGuest(
    { spec: {}, specWithDisk: { disks: [{ sizeMiB: 64 }] } },
    { powerOff: ['poweroff'], reboot: ['reboot'] },
  ),
  missing: isThere ? undefined : templateMissing,
})

async function traitsOf(scheme: string, hasTemplate: boolean): Promise<Traits> {
  switch (scheme) {
    case 'embedded':
      return {
        ...(await import('../conformance/embedded-profile.js')).embeddedProfile,
        keepsVms: false,
      }
    case 'qmp':
      return {
        ...(await import('../conformance/qmp-profile.js')).qmpProfile,
        guestWithAgent() {
          throw new GuestLacksError('the guest that comes with awaitvm has no agent')
        },
      }
    default:
      return {
        ...(await import('../conformance/parallels-traits.js')).parallelsTraits,
        guest: guestOf(hasTemplate),
        specWithoutAgent: { description: 'without tools' },
      }
  }
}

/** A real host as the cases see it: each case has a host without VMs. */
export class OwnVmsHost {
  readonly #settings: CheckSettings
  readonly #scheme: string
  readonly #open: OpenDriver
  readonly #exclusive = new Exclusive()
  #lastCase = 0

  private constructor(settings: CheckSettings, scheme: string, open: OpenDriver) {
    this.#settings = settings
    this.#scheme = scheme
    this.#open = open
  }

  static async make(settings: CheckSettings): Promise<OwnVmsHost> {
    const scheme = new URL(settings.uri).protocol.slice(0, -1)
    const open = await loaderOf(settings.uri)?.()
    if (open === undefined) throw new Error(`No host has the scheme ${scheme}`)
    return new OwnVmsHost(settings, scheme, open)
  }

  async conformanceHost(): Promise<ConformanceHost> {
    const { uri, base } = this.#settings
    return {
      ...(await traitsOf(this.#scheme, base !== undefined)),
      name: uri,
      open: (options) => this.#openForCase(options),
    }
  }

  async #openForCase(options: ConnectOptions | undefined): Promise<OpenHost> {
    const { uri, prefix: runPrefix, base } = this.#settings
    this.#lastCase += 1
    const prefix = `${runPrefix}${this.#lastCase}-`
    // The host itself stays available under its own URI.
    const caseUri = `${uri}#${this.#lastCase}`
    const release = intercept(caseUri, async (_url, task) => {
      return new OwnVmsDriver(await this.#open(new URL(uri), task), prefix)
    })
    try {
      return {
        server: await connect(caseUri, options).unwrap(),
        connectAgain: (again) => connect(caseUri, again).unwrap(),
        ...(base !== undefined && {
          createVmWithGuest: (server, spec) => this.#cloneBase(base, server, prefix, spec),
        }),
        async dispose() {
          release()
          await using keeper = await connect(uri).unwrap()
          return await removeVms(keeper, prefix)
        },
      }
    } catch (error) {
      release()
      throw error
    }
  }

  async #cloneBase(baseName: string, server: Server, prefix: string, spec: VmSpec): Promise<Vm> {
    // A clone keeps the disks of the template: the guest boots from them.
    const { name, disks: _disks, ...settings } = spec
    {
      await using keeper = await connect(this.#settings.uri).unwrap()
      const base = await keeper.getVm(baseName).unwrap()
      const linked = keeper.capabilities.has('vm.clone.linked')
      // Some hosts refuse simultaneous clones of one VM.
      await this.#exclusive.run(baseName, () => base.clone({ name: `${prefix}${name}`, linked }).unwrap())
    }
    const vm = await server.getVm(name).unwrap()
    if (Object.keys(settings).length > 0) await vm.edit(settings).unwrap()
    return vm
  }
}
