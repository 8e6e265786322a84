/** JSON in the format of prlctl: indented by tabs, with slashes and only five of the control characters escaped. */
export function json(value: unknown): string {
  return JSON.stringify(value, undefined, '\t')
    .replaceAll('/', '\\/')
    .replace(/\\u00([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

/** Local time without a zone. */
export function localTime(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`
}
