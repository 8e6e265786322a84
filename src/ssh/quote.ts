/** Quotes a word for a POSIX shell. */
const quoteWord = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`

/** Quotes words as a command line of a POSIX shell. */
export const quoteWords = (words: readonly string[]): string => words.map(quoteWord).join(' ')
