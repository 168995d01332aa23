// An authenticator without hands: Chromium's own, over its DevTools protocol. It keeps passkeys and verifies its
// user, as a phone or a laptop does.

/** Gives the page's browser one. */
export async function addAuthenticator(page) {
  const protocol = await page.context().newCDPSession(page);
  await protocol.send('WebAuthn.enable');
  const { authenticatorId } = await protocol.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  const send = (method, parameters) => protocol.send(`WebAuthn.${method}`, { authenticatorId, ...parameters });
  return {
    /** What it keeps, private keys included. */
    credentials: async () => (await send('getCredentials')).credentials,
    /** Puts in what another one keeps: a synchronised passkey, or a copy of one. */
    add: (credential) => send('addCredential', { credential }),
    /** Whether its user unlocks it when asked. */
    unlocks: (isUserVerified) => send('setUserVerified', { isUserVerified }),
    clear: () => send('clearCredentials'),
  };
}
