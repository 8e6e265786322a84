/** Completes "options.mdoe ..." */
export const notKnown = 'is not a known setting'

/** The first name of the object that is not known. Errors of the object's own getters and traps pass through. */
export const unknownName = (value: object, known: readonly string[]): string | undefined =>
  Object.keys(value).find((name) => !known.includes(name))

/** A hint for an unknown name: the known name that was probably meant, or all known names. */
export function hintForName(name: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: distanceOf(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.min(2, candidate.length / 3)))
    .sort((one, other) => one.distance - other.distance)
  if (near[0] !== undefined) return `Did you mean ${near[0].candidate}?`
  return known.length === 0 ? 'There are none here.' : `Known are: ${known.join(', ')}.`
}

/** The number of letters to insert, delete, replace or swap with the next one (optimal string alignment). */
function distanceOf(from: string, to: string): number {
  // Too far apart to be meant; the work below grows with the product of the lengths.
  if (Math.abs(from.length - to.length) > 2) return Infinity
  let beforePrevious: number[] = []
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const isSame = from[row - 1] === to[column - 1]
      const isSwapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      current[column] = Math.min(
        at(previous, column) + 1,
        at(current, column - 1) + 1,
        at(previous, column - 1) + (isSame ? 0 : 1),
        isSwapped ? at(beforePrevious, column - 2) + 1 : Infinity,
      )
    }
    beforePrevious = previous
    previous = current
  }
  return at(previous, to.length)
}

const at = (row: readonly number[], index: number): number => row[index] ?? Infinity
