import { AuthenticationError, ProtocolError } from 'awaitvm'
import { expect, test } from 'vitest'
import { ScramClient } from '../../../../src/drivers/libvirt/rpc/auth/scram.js'

/** The exchange of RFC 7677, section 3. */
const nonce = 'rOprNGfwEbeRWgbNEkqO'
const challenge = `r=${nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`
const proof = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='
const client = (): ScramClient => new ScramClient('user', 'pencil', nonce)

test('the exchange of RFC 7677 comes out', async () => {
  const scram = client()
  expect(scram.first).toBe(`n,,n=user,r=${nonce}`)
  expect(await scram.answer(challenge)).toBe(
    `c=biws,r=${nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`,
  )
  expect(() => {
    scram.verify(proof)
  }).not.toThrow()
})

test.each([['v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='], ['v='], ['e=other-error'], [''], ['v=!!!']])(
  'a server that answers %j does not know the password',
  async (answer) => {
    const scram = client()
    await scram.answer(challenge)
    expect(() => {
      scram.verify(answer)
    }).toThrow(AuthenticationError)
  },
)

test.each([
  [`r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
  ['r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'],
  [challenge.replace('4096', '99999999')],
  [challenge.replace('4096', '0')],
  [challenge.replace('4096', 'x')],
  [''],
])('the challenge %j is a ProtocolError', async (wrong) => {
  await expect(client().answer(wrong)).rejects.toThrow(ProtocolError)
})

test('a user keeps commas and equals signs', () => {
  expect(new ScramClient('a=b,c', '', nonce).first).toBe(`n,,n=a=3Db=2Cc,r=${nonce}`)
})
