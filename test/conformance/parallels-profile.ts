import { connect } from 'awaitvm'
import { execGuest, type ConformanceHost } from 'awaitvm/testing/conformance'
import type { Knobs } from '../doubles/prlctl/knobs.js'
import { PrlctlDouble } from '../support/prlctl-double.js'
import { parallelsTraits } from './parallels-traits.js'

/** The hosts of the double, by its flavour and by how they are connected to. */
export const parallelsHost = (
  name: string,
  flavour: Knobs['flavour'],
  uriOf: (double: PrlctlDouble) => string = ({ uri }) => uri,
): ConformanceHost => ({
  ...parallelsTraits,
  name,
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
  async open(options) {
    const double = await PrlctlDouble.make({ flavour })
    const uri = uriOf(double)
    return {
      server: await connect(uri, options).unwrap(),
      connectAgain: (again) => connect(uri, again).unwrap(),
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
