import type { CloudInit, CloudInitData, CloudInitFile, CloudInitUser } from '../model/cloud-init.js'
import type { SeedKeys } from './seed-keys.js'
import { mergedParts } from './merged-parts.js'
import { toYaml } from './yaml.js'

/** The user data of a seed: the structured settings as a cloud config, merged with the user's own data. */
export function userDataOf(settings: CloudInit, keys: SeedKeys | undefined): string {
  const structured = { ...cloudConfigOf(settings, keys), ...keysOf(keys) }
  const own = partsOf(settings.userData)
  const isNeeded = Object.keys(structured).length > 0 || own.length === 0
  return mergedParts([...(isNeeded ? [asText(structured)] : []), ...own])
}

export const vendorDataOf = ({ vendorData }: CloudInit): string | undefined =>
  vendorData === undefined ? undefined : mergedParts(partsOf(vendorData))

const partsOf = (data: CloudInit['userData']): readonly string[] =>
  data === undefined ? [] : isList(data) ? data.map(asText) : [asText(data)]

const isList = (data: CloudInitData | readonly CloudInitData[]): data is readonly CloudInitData[] => Array.isArray(data)

const asText = (data: CloudInitData): string => (typeof data === 'string' ? data : `#cloud-config\n${toYaml(data)}`)

/** cloud-init's own names for the structured settings. The host name is meta data. */
const cloudConfigOf = (
  {
    users = [],
    packages = [],
    packageUpdate,
    packageUpgrade,
    files = [],
    runCommands = [],
    timezone,
    locale,
  }: CloudInit,
  keys: SeedKeys | undefined,
): Readonly<Record<string, unknown>> => ({
  // cloud-init's schema refuses empty lists.
  ...(users.length > 0 && { users: users.map((user) => userOf(user, keys)) }),
  ...(packages.length > 0 && { packages }),
  ...(packageUpdate !== undefined && { package_update: packageUpdate }),
  ...(packageUpgrade !== undefined && { package_upgrade: packageUpgrade }),
  ...(files.length > 0 && { write_files: files.map(fileOf) }),
  ...(runCommands.length > 0 && { runcmd: runCommands }),
  ...(timezone !== undefined && { timezone }),
  ...(locale !== undefined && { locale }),
})

/** The host's key, for the image's own user, and the guest's host key. */
const keysOf = (keys: SeedKeys | undefined): Readonly<Record<string, unknown>> =>
  keys === undefined
    ? {}
    : {
        ssh_authorized_keys: [keys.authorizedKey],
        ssh_keys: { ed25519_private: keys.hostKey.privateKey, ed25519_public: keys.hostKey.publicKey },
      }

function userOf(user: 'default' | CloudInitUser, keys: SeedKeys | undefined): unknown {
  if (user === 'default') return user
  const { name, sudo = false, sshKeys = [], passwordHash, shell, groups = [] } = user
  const authorized = [...sshKeys, ...(keys === undefined ? [] : [keys.authorizedKey])]
  return {
    name,
    ...(sudo && { sudo: 'ALL=(ALL) NOPASSWD:ALL' }),
    ...(authorized.length > 0 && { ssh_authorized_keys: authorized }),
    // A user without a password is locked by default.
    ...(passwordHash !== undefined && { hashed_passwd: passwordHash, lock_passwd: false }),
    ...(shell !== undefined && { shell }),
    ...(groups.length > 0 && { groups: groups.join(', ') }),
  }
}

const fileOf = ({ path, content, encoding, owner, permissions }: CloudInitFile): unknown => ({
  path,
  content,
  ...(encoding === 'base64' && { encoding: 'b64' }),
  // Other users may not be there before cloud-init has made them and installed packages, so that the file is written after that.
  ...(owner !== undefined && { owner, defer: !/^root(?::root)?$/.test(owner) }),
  ...(permissions !== undefined && { permissions }),
})
