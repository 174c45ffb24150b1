create index on journal_line (book, account, posting_date);
create index on journal_entry (book, document_no) where document_no is not null;
