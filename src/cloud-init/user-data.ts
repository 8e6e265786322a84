import type { CloudInit, CloudInitData, CloudInitFile, CloudInitUser } from '../model/cloud-init.js'
import { mergedParts } from './merged-parts.js'
import { toYaml } from './yaml.js'

/** The user data of a seed: the structured settings as a cloud config, merged with the user's own data. */
export function userDataOf(settings: CloudInit): string {
  const structured = cloudConfigOf(settings)
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
const cloudConfigOf = ({
  users,
  packages = [],
  packageUpdate,
  packageUpgrade,
  files = [],
  runCommands = [],
  timezone,
  locale,
}: CloudInit): Readonly<Record<string, unknown>> => ({
  ...(users !== undefined && { users: users.map(userOf) }),
  // An empty list is no valid setting of these.
  ...(packages.length > 0 && { packages }),
  ...(packageUpdate !== undefined && { package_update: packageUpdate }),
  ...(packageUpgrade !== undefined && { package_upgrade: packageUpgrade }),
  ...(files.length > 0 && { write_files: files.map(fileOf) }),
  ...(runCommands.length > 0 && { runcmd: runCommands }),
  ...(timezone !== undefined && { timezone }),
  ...(locale !== undefined && { locale }),
})

function userOf(user: 'default' | CloudInitUser): unknown {
  if (user === 'default') return user
  const { name, sudo = false, sshKeys = [], passwordHash, shell, groups = [] } = user
  return {
    name,
    ...(sudo && { sudo: 'ALL=(ALL) NOPASSWD:ALL' }),
    ...(sshKeys.length > 0 && { ssh_authorized_keys: sshKeys }),
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
