/** An address of a guest, without a prefix length. */
export interface NetworkAddress {
  /** The interface's name in the guest: `eth0`. */
  readonly interfaceName: string
  /** `10.0.2.15`, `fec0::5054:ff:fe12:3456`. */
  readonly address: string
  /** Which kind of address it is. */
  readonly family: 'ipv4' | 'ipv6'
  /** The interface's hardware address; absent if the agent does not tell. */
  readonly macAddress?: string | undefined
}
