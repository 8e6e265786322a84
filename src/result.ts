export { err, errAsync, ok, okAsync, type Result, ResultAsync } from 'neverthrow'
