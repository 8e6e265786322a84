import type { DecodedPng } from 'fast-png'

/** Width of a drawn picture, in characters. */
const width = 24
/** A character is about twice as high as wide, so it shows two pixels, one above the other. */
const halfBlock = '▀'

/** Draws an image as lines of coloured characters, for a terminal with 24-bit colours. */
export function picture(image: DecodedPng): string {
  const height = Math.round((width * image.height) / image.width / 2)
  const colour = (x: number, y: number): string => {
    const column = Math.floor(((x + 0.5) / width) * image.width)
    const row = Math.floor(((y + 0.5) / (2 * height)) * image.height)
    const start = (row * image.width + column) * image.channels
    return image.data.slice(start, start + 3).join(';')
  }
  const character = (x: number, y: number): string =>
    `\u001b[38;2;${colour(x, 2 * y)};48;2;${colour(x, 2 * y + 1)}m${halfBlock}`
  const line = (_: unknown, y: number): string =>
    `   ${Array.from({ length: width }, (_, x) => character(x, y)).join('')}\u001b[0m\n`
  return Array.from({ length: height }, line).join('')
}
