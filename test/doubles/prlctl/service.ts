import { hostname } from 'node:os'
import { parse, type Command } from './command.js'
import type { Dispatcher } from './dispatcher.js'
import { json } from './json.js'
import { Failure } from './messages.js'
import { print } from './terminal.js'

const info: Command = {
  takesId: 'never',
  options: { '-j': false, '--json': false, '--license': false, '-f': false },
  run({ dispatcher, options }) {
    const { flavour, version, edition, serviceInfo } = dispatcher.knobs
    const isDesktop = flavour === 'desktop'
    if (serviceInfo !== '') {
      print(serviceInfo)
      return
    }
    if (options.has('--license')) {
      print(
        `${json({
          status: 'ACTIVE',
          serial: '*****',
          expiration: '2027-11-24 00:00:00',
          cpu_total: 32,
          max_memory: 131072,
          edition,
          is_trial: false,
          is_volume: false,
        })}\n`,
      )
      return
    }
    print(
      `${json({
        ID: '{5f0f7a7e-0000-4000-8000-000000000001}',
        Hostname: hostname(),
        OS: isDesktop ? 'Mac OS X 15.6' : 'Virtuozzo Linux 7',
        Version: isDesktop ? `Desktop ${version.replace(' (', '-').replace(')', '')}` : 'Server 7.0.16-1',
        'VM home': `${dispatcher.folder}/vms`,
        'Memory limit': { mode: 'auto' },
        License: { state: 'valid', key: '*****', restricted: 'false' },
        'Hardware info': {},
      })}\n`,
    )
  },
}

/** `prlsrvctl`, the commands of the host. */
export async function service(dispatcher: Dispatcher, [verb = '', ...words]: readonly string[]): Promise<void> {
  if (verb !== 'info') throw new Failure(`Unknown action: ${verb}\n`, 1)
  await info.run({ dispatcher, ...parse(info, words), isCanceled: () => false })
}
