import { connect } from 'awaitvm'
import { noGuest } from 'awaitvm/testing/conformance'
import { afterAll, beforeAll } from 'vitest'
import { subjects } from '../../src/testing/conformance/cases.js'
import { LibvirtDaemon } from '../support/libvirt-daemon.js'
import { missingLibvirt } from '../support/optional-tool.js'
import { describeOwnHost } from './own-host.js'

let daemon: LibvirtDaemon
beforeAll(async () => {
  if (missingLibvirt === undefined) daemon = await LibvirtDaemon.start()
})
afterAll(async () => {
  if (missingLibvirt === undefined) await daemon[Symbol.asyncDispose]()
})

/** libvirt's test driver in a real daemon. Its VMs have no guest, so that it is no column of the README's table. */
describeOwnHost(
  {
    name: 'test:///default',
    driver: 'libvirt',
    unavailable: missingLibvirt,
    guest: noGuest({ runsBare: true }),
    refusedSettings: [
      'spec.ephemeral',
      'spec.disks.image',
      'spec.boot.videoFirmware',
      'spec.boot.firmware',
      'spec.machine',
      'spec.architecture',
      'spec.native.arguments',
      'spec.networkAdapters.network',
      'spec.networkAdapters.portForwards',
      'spec.cloudInit',
      'spec.guest',
      'spec.shares',
      'spec.tpm',
    ],
    networkAdapter: { network: { hostNetwork: 'default' } },
    keepsDiskOrder: true,
    refusedFrom: { 'vm.edit.name': ['running', 'paused', 'suspended'] },
    open: async (options) => ({ server: await connect(daemon.privateUri, options).unwrap() }),
  },
  subjects,
)
