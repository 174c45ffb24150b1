-- What is known of books, their accounts and periods, and of the zone in which
-- the organisation's days begin: from a position to a position. Times are labels.
-- The kind says what the value holds:
--   book     functional_currency, scale
--   account  name, class, normal_side, currency, blocked       key = its code
--   period   state (open, soft-closed, closed), opening_from,   key = YYYY-MM
--            closed_by, trial_balance_hash, approval_id, reason
--   zone     zone; the book is empty
create table book_fact (
  kind            text      collate "C" not null,
  book            text      collate "C" not null,
  key             text      collate "C" not null,
  value           jsonb     not null,
  recorded        int8range not null,
  recorded_from   timestamptz not null,
  recorded_to     timestamptz,
  event_id        uuid      not null,
  superseded_by   uuid,
  last_event_id   uuid      not null,
  last_position   bigint    not null,
  last_revision   bigint    not null,
  check (not isempty(recorded))
);
create unique index book_fact_version on book_fact (kind, book, key, lower(recorded));
-- Catches a fact that is opened twice.
create unique index on book_fact (kind, book, key) where upper_inf(recorded);

-- An entry of the journal, or the reversal of one. Late: when it was recorded,
-- the month of its document was closed, so it stands in a later period. The entry
-- that undoes this one is the only thing that is ever added to a row.
create table journal_entry (
  book              text    collate "C" not null,
  period            text    collate "C" not null, -- YYYY-MM
  entry_no          int     not null,             -- gapless in the period, from 1
  entry_id          uuid    not null,
  document_date     date    not null,
  posting_date      date    not null,
  document_no       text    collate "C",
  source_stream     text    collate "C",
  source_event_id   uuid,
  description       text,
  late              boolean not null,
  reverses          uuid,
  reason_code       text,
  reversed_by       uuid,
  reversed_position bigint,
  event_id          uuid    not null,
  position          bigint  not null,
  revision          bigint  not null,
  recorded_at       timestamptz not null, -- the label of the position
  last_event_id     uuid    not null,
  last_position     bigint  not null,
  last_revision     bigint  not null,
  primary key (book, period, entry_no)
);
create unique index on journal_entry (entry_id);

-- One side of an entry: debit and credit in the book's functional currency, and
-- in the currency of the transaction. All amounts have the book's scale. Rows are
-- never changed, so last_position is the one at which the line was recorded.
create table journal_line (
  book               text    collate "C" not null,
  period             text    collate "C" not null,
  entry_no           int     not null,
  line_no            int     not null,
  account            text    collate "C" not null,
  debit              numeric not null,
  credit             numeric not null,
  currency           text    collate "C" not null,
  transaction_debit  numeric not null,
  transaction_credit numeric not null,
  fx_rate            numeric,
  cost_center        text,
  party_ref          text,
  tax_code           text,
  item_ref           text,
  posting_date       date    not null,
  last_event_id      uuid    not null,
  last_position      bigint  not null,
  last_revision      bigint  not null,
  primary key (book, period, entry_no, line_no)
);

-- What is not in order in the tables: nothing, ever.
create function check_balance() returns table (book text, period text, entry_no int, problem text)
language sql stable as $$
  select l.book, l.period, l.entry_no, 'debits are not credits'
  from journal_line l group by l.book, l.period, l.entry_no
  having sum(l.debit) <> sum(l.credit)
  union all
  select l.book, l.period, l.entry_no, 'debits are not credits in ' || l.currency
  from journal_line l group by l.book, l.period, l.entry_no, l.currency
  having sum(l.transaction_debit) <> sum(l.transaction_credit)
  union all
  select e.book, e.period, max(e.entry_no), 'entries are not numbered without a gap'
  from journal_entry e group by e.book, e.period
  having min(e.entry_no) <> 1 or max(e.entry_no) <> count(*)
$$;
