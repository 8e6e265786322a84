import { stringify } from 'yaml'

/**
 * YAML as PyYAML reads it, which is what cloud-init uses. Each text is in double quotes, so that none is taken for a number or for
 * `yes`, and none can end early; only ASCII is left as it is, since PyYAML refuses some other characters.
 */
export const toYaml = (value: unknown): string =>
  stringify(value, {
    version: '1.1',
    defaultStringType: 'QUOTE_DOUBLE',
    aliasDuplicateObjects: false,
    lineWidth: 0,
  }).replace(/[^\n\x20-\x7e]/gu, escaped)

const escaped = (character: string): string =>
  `\\U${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(8, '0')}`
