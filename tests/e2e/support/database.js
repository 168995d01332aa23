// The administrator's way to the database: for what only time could bring about, and for looking at what is stored.
import pg from 'pg';

/** The rows of one statement. */
export async function sql(statement, ...values) {
  const client = new pg.Client({ connectionString: process.env.E2E_DATABASE_URL });
  await client.connect();
  try {
    const { rows } = await client.query(statement, values);
    return rows;
  } finally {
    await client.end();
  }
}

/** Lets the sessions of the user with that address have begun earlier, so that a step-up is due. */
export async function ageSessions(address, interval = '11 minutes') {
  await sql(
    `UPDATE session SET authenticated_at = authenticated_at - $2::interval, created_at = created_at - $2::interval
     WHERE user_id = (SELECT user_id FROM user_email WHERE address = $1)`,
    address,
    interval,
  );
}
