package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// A Listening says where and how a server listens.
type Listening struct {
	Address  string       // host:port; port 0 picks a free one
	CertFile string       // with KeyFile: TLS 1.3
	KeyFile  string       //
	TLS12    bool         // accept TLS 1.2 too
	Insecure bool         // plaintext also where others can listen: tokens and pay travel readable
	Logger   *slog.Logger // nil = slog.Default()
}

// A Server answers HTTP requests until it is closed.
type Server struct {
	api      *API
	http     *http.Server
	listener net.Listener
	secure   bool
}

// Listen takes the address, so that requests can come as soon as Serve runs.
func Listen(api *API, l Listening) (*Server, error) {
	encryption, err := l.encryption()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", l.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: the address is taken; choose another one with --listen (port 0 picks a free one)", l.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; name a host:port of this machine with --listen", l.Address, err)
	}
	if encryption == nil && !l.Insecure && !loopback(listener.Addr()) {
		_ = listener.Close()
		return nil, fmt.Errorf("%s is open to other machines, where tokens and pay would travel readable: give a certificate (--tls-cert, --tls-key), listen on 127.0.0.1, or accept the risk with --insecure-listen", l.Address)
	}
	logger := l.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return &Server{api: api, listener: listener, secure: encryption != nil, http: &http.Server{
		Handler:           api,
		TLSConfig:         encryption,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    headerBytesHeard,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}, nil
}

func (l Listening) encryption() (*tls.Config, error) {
	if l.CertFile == "" && l.KeyFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w; --tls-cert and --tls-key name PEM files that belong together", err)
	}
	minimum := uint16(tls.VersionTLS13)
	if l.TLS12 {
		minimum = tls.VersionTLS12
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: minimum}, nil
}

// URL is where the server is reached.
func (s *Server) URL() string {
	if s.secure {
		return "https://" + s.listener.Addr().String()
	}
	return "http://" + s.listener.Addr().String()
}

// Serve answers requests until Close. Only what was not asked for is an error.
func (s *Server) Serve() error {
	err := s.serve()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", s.URL(), err)
}

func (s *Server) serve() error {
	if s.secure {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// Close ends streams, lets other requests come to their end until ctx does, and
// then cuts them off.
func (s *Server) Close(ctx context.Context) error {
	s.api.Stop()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
