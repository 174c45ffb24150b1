package readapi

// journalLine is the projection that answers for books, periods and entries.
const journalLine = "journal_line"

func (s *server) journalRoutes() {}
