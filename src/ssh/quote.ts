/** One word of a POSIX shell, whatever is in it. */
const quoteWord = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`

/** A command line that a POSIX shell takes apart into these very words. */
export const quoteWords = (words: readonly string[]): string => words.map(quoteWord).join(' ')
