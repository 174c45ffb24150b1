-- For the read API only.
-- In a language that keeps its plan: in SQL it would be parsed and planned at each call.
create or replace function api.journal_zone_at(known bigint) returns text language plpgsql stable as $$ begin
  return coalesce((select value ->> 'zone' from {schema}.book_fact where kind = 'zone' and book = '' and key = '' and recorded @> known), 'UTC');
end $$;

-- The revision is that of the book's stream: of the book or of any of its accounts.
create or replace function api.books_at(known bigint)
returns table (book text, functional_currency text, scale int, recorded_at timestamptz, revision bigint) language sql stable as $$
  select b.book, b.value ->> 'functional_currency', (b.value ->> 'scale')::int, b.recorded_from,
    (select max(f.last_revision) from {schema}.book_fact f where f.kind in ('book', 'account') and f.book = b.book)
  from {schema}.book_fact b where b.kind = 'book' and b.recorded @> known
$$;

create or replace function api.accounts_at(of_book text, known bigint)
returns table (account text, name text, class text, normal_side text, currency text, blocked boolean) language sql stable as $$
  select key, value ->> 'name', value ->> 'class', value ->> 'normal_side', value ->> 'currency', (value ->> 'blocked')::boolean
  from {schema}.book_fact where kind = 'account' and book = of_book and recorded @> known
$$;

-- Since is when the state began. The revision is that of the period's stream.
create or replace function api.periods_at(of_book text, known bigint)
returns table (period text, state text, since timestamptz, opening_from text, closed_by text, trial_balance_hash text,
  approval_id uuid, reason text, entries bigint, late_entries bigint, revision bigint) language sql stable as $$
  select p.key, p.value ->> 'state', p.recorded_from, p.value ->> 'opening_from', p.value ->> 'closed_by', p.value ->> 'trial_balance_hash',
    (p.value ->> 'approval_id')::uuid, p.value ->> 'reason', e.entries, e.late, greatest(p.last_revision, e.revision)
  from {schema}.book_fact p
  cross join lateral (select count(*) as entries, count(*) filter (where late) as late, max(revision) as revision
    from {schema}.journal_entry where book = of_book and period = p.key and position <= known) e
  where p.kind = 'period' and p.book = of_book and p.recorded @> known
$$;

create or replace view api.journal_entry as
  select book, period, entry_no, entry_id, document_date, posting_date, document_no, source_stream, source_event_id, description,
         late, reverses, reason_code, reversed_by, reversed_position, event_id, position, revision, recorded_at
  from {schema}.journal_entry;

create or replace view api.journal_line as
  select book, period, entry_no, line_no, account, debit, credit, currency, transaction_debit, transaction_credit, fx_rate,
         cost_center, party_ref, tax_code, item_ref, posting_date, last_position as position
  from {schema}.journal_line;

-- What moved on each account up to a day. Amounts are text at the book's scale.
create or replace function api.trial_balance(of_book text, on_day date, known bigint)
returns table (account text, name text, debit numeric, credit numeric) language sql stable as $$
  select m.account, coalesce(a.name, ''), m.debit, m.credit
  from (select account, sum(debit) as debit, sum(credit) as credit from {schema}.journal_line
    where book = of_book and posting_date <= on_day and last_position <= known group by account) m
  left join api.accounts_at(of_book, known) a on a.account = m.account
$$;
