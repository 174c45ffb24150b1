-- For dashboards. known: a position; null = all that is known. Query these names
-- only: they stay when the tables behind them are replaced.

create or replace view read.book_fact as
  select kind, book, key, value, recorded, recorded_from, recorded_to, event_id, superseded_by, last_event_id, last_position, last_revision
  from {schema}.book_fact;

create or replace view read.journal_entry as
  select book, period, entry_no, entry_id, document_date, posting_date, document_no, source_stream, source_event_id, description,
         late, reverses, reason_code, reversed_by, reversed_position, event_id, position, recorded_at,
         last_event_id, last_position, last_revision
  from {schema}.journal_entry;

create or replace view read.journal_line as
  select l.book, l.period, l.entry_no, l.line_no, e.entry_id, l.account, l.debit, l.credit, l.currency,
         l.transaction_debit, l.transaction_credit, l.fx_rate, l.cost_center, l.party_ref, l.tax_code, l.item_ref,
         e.document_date, l.posting_date, e.document_no, e.recorded_at, e.position, e.source_event_id, e.event_id,
         e.reverses, e.reversed_by, l.last_event_id, l.last_position, l.last_revision
  from {schema}.journal_line l join {schema}.journal_entry e using (book, period, entry_no);

-- What was recorded up to a time, as a position.
create or replace view read.journal_label as select label, position from {schema}.label_position;

create or replace function read.journal_position_at(at timestamptz) returns bigint language sql stable as $$
  select position from read.journal_label where label <= at order by label desc limit 1
$$;

create or replace function read.books(known bigint default null)
returns table (book text, functional_currency text, scale int) language sql stable as $$
  select book, value ->> 'functional_currency', (value ->> 'scale')::int from read.book_fact
  where kind = 'book' and case when known is null then upper_inf(recorded) else recorded @> known end
$$;

create or replace function read.accounts(known bigint default null)
returns table (book text, account text, name text, class text, normal_side text, currency text, blocked boolean) language sql stable as $$
  select book, key, value ->> 'name', value ->> 'class', value ->> 'normal_side', value ->> 'currency', (value ->> 'blocked')::boolean
  from read.book_fact
  where kind = 'account' and case when known is null then upper_inf(recorded) else recorded @> known end
$$;

create or replace function read.period_status(known bigint default null)
returns table (book text, period text, state text, closed_by text, trial_balance_hash text, since timestamptz) language sql stable as $$
  select book, key, value ->> 'state', value ->> 'closed_by', value ->> 'trial_balance_hash', recorded_from from read.book_fact
  where kind = 'period' and case when known is null then upper_inf(recorded) else recorded @> known end
$$;

-- What moved on the accounts of a book on each day. A balance is a sum over days.
create or replace function read.account_movement(of_book text, known bigint default null)
returns table (account text, day date, debit numeric, credit numeric) language sql stable as $$
  select account, posting_date, sum(debit), sum(credit) from read.journal_line
  where book = of_book and (known is null or position <= known)
  group by account, posting_date
$$;

create or replace function read.trial_balance(of_book text, on_day date, known bigint default null)
returns table (account text, name text, debit numeric, credit numeric) language sql stable as $$
  select m.account, a.name, sum(m.debit), sum(m.credit)
  from read.account_movement(of_book, known) m
  left join read.accounts(known) a on a.book = of_book and a.account = m.account
  where m.day <= on_day group by m.account, a.name
$$;
