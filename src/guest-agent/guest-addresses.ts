import { isIP } from 'node:net'
import * as v from 'valibot'
import type { NetworkAddress } from '../model/network-address.js'
import type { Agent } from './agent.js'
import { ask } from './agent-answer.js'
import { guestWords } from './agent-errors.js'

const interfacesSchema = v.array(
  v.object({
    name: v.string(),
    'hardware-address': v.optional(v.string()),
    'ip-addresses': v.optional(v.array(v.object({ 'ip-address': v.string() })), []),
  }),
)

/** The guest's addresses, as the agent reports them. */
export async function guestAddresses(agent: Agent): Promise<NetworkAddress[]> {
  const interfaces = await ask(agent, interfacesSchema, 'guest-network-get-interfaces')
  return interfaces.flatMap(({ name, 'hardware-address': mac = '', 'ip-addresses': addresses }) =>
    addresses.flatMap(({ 'ip-address': address }) => {
      const version = isIP(address)
      if (version === 0) return []
      const hasMac = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)
      return [
        {
          interfaceName: guestWords(name),
          address,
          family: version === 4 ? ('ipv4' as const) : ('ipv6' as const),
          ...(hasMac && { macAddress: mac.toLowerCase() }),
        },
      ]
    }),
  )
}
