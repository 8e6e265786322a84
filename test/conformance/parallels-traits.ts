import type { ConformanceHost } from 'awaitvm/testing/conformance'

/** Documented traits of Parallels. */
export const parallelsTraits = {
  driver: 'parallels',
  keepsVms: true,
  keepsDiskOrder: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: false,
  afterCrash: 'stopped',
  untold: ['createdAt', 'reason'],
  refusedSettings: [
    'spec.labels',
    'spec.ephemeral',
    'spec.boot.kernel',
    'spec.boot.firmware',
    'spec.disks.image',
    'spec.floppies',
    'spec.networkAdapters',
    'spec.cloudInit',
    'spec.shares',
    'spec.guest',
  ],
  refusedExecOptions: ['pty', 'detached'],
  refusedFrom: {
    'vm.clone': ['running', 'paused'],
    'vm.edit.name': ['running', 'paused', 'suspended'],
  },
  allowedFrom: { 'vm.delete': ['unknown'], 'vm.unregister': ['unknown'] },
} as const satisfies Partial<ConformanceHost>
