/** Keys by which a host reaches a guest by SSH, in OpenSSH's formats. */
export interface SeedKeys {
  /** The public key of the host, for all users that the seed makes, and for the image's own. */
  readonly authorizedKey: string
  /** The key by which the guest is known. */
  readonly hostKey: { readonly publicKey: string; readonly privateKey: string }
}
