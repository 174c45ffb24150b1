package readapi

// auditLog is the projection that answers about the events themselves.
const auditLog = "audit_log"

func (s *server) auditRoutes() {}
