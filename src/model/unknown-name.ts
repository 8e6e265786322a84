/** Completes "options.mdoe ..." */
export const notKnown = 'is not a known setting'

/** The first name of the object that is none of these; hands on what reading its names throws. */
export const unknownName = (value: object, known: readonly string[]): string | undefined =>
  Object.keys(value).find((name) => !known.includes(name))

/** What may have been meant by a name that is not known. */
export function hintForName(name: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: distanceOf(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.min(2, candidate.length / 3)))
    .sort((one, other) => one.distance - other.distance)
  if (near[0] !== undefined) return `Did you mean ${near[0].candidate}?`
  return known.length === 0 ? 'There are none here.' : `Known are: ${known.join(', ')}.`
}

/** How many letters are to be put in, left out, replaced or swapped with the next one (optimal string alignment). */
function distanceOf(from: string, to: string): number {
  // No setting has such a name, and the work goes with the product of the lengths.
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
