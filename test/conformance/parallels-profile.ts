import { connect } from 'awaitvm'
import type { Knobs } from '../doubles/prlctl/knobs.js'
import { PrlctlDouble } from '../support/prlctl-double.js'
import { execGuest } from './exec-guest.js'
import type { ConformanceHost } from './host.js'

/** The hosts of the double, by its flavour. */
export const parallelsHost = (name: string, flavour: Knobs['flavour']): ConformanceHost => ({
  name,
  driver: 'parallels',
  guest: execGuest(
    { spec: {}, specWithDisk: { disks: [{ sizeMiB: 64 }] } },
    {
      powerOff: ['guestctl', 'poweroff'],
      reboot: ['guestctl', 'reboot'],
      crash: ['guestctl', 'crash'],
      ignorePowerButton: ['guestctl', 'ignore-shutdown'],
      refusePowerButton: ['guestctl', 'refuse-shutdown'],
      wasAskedToGo: ['guestctl', 'was-asked'],
      hasShutDown: ['guestctl', 'has-shut-down'],
      keysSeen: ['guestctl', 'keys'],
    },
  ),
  specWithoutAgent: { description: 'without tools' },
  keepsVms: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: false,
  afterCrash: 'stopped',
  untold: ['createdAt', 'reason'],
  refusedSettings: [
    'spec.boot.kernel',
    'spec.boot.firmware',
    'spec.disks.image',
    'spec.floppies.image',
    'spec.networkAdapters',
  ],
  refusedFrom: {
    'vm.clone': ['running', 'paused'],
    'vm.edit.name': ['running', 'paused', 'suspended'],
  },
  async open(options) {
    const double = await PrlctlDouble.make({ flavour })
    return {
      server: await connect(double.uri, options).unwrap(),
      connectAgain: (again) => connect(double.uri, again).unwrap(),
      files: () => double.files(),
      registrationPath: (vm) => `${double.state}/vms/${vm.id}.pvm`,
      async dispose() {
        const left = await double.processes()
        await double[Symbol.asyncDispose]()
        return left
      },
    }
  },
})
