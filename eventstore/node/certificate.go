package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	certificateYears = 10
	clockDrift       = time.Hour // between machines: a certificate counts from a little before it is made
)

// Certificates are the PEM files of a node's TLS.
type Certificates struct {
	Authority string // for clients to trust
	Cert, Key string // of the node
}

// SelfSigned makes an authority in a folder, for its owner alone, and a
// certificate for some host names and addresses. Files that are there already
// stay: clients trust them.
func SelfSigned(dir string, hosts ...string) (Certificates, error) {
	files := Certificates{filepath.Join(dir, "ca.crt"), filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")}
	if _, err := os.Stat(files.Authority); err == nil {
		return files, nil // written last
	} else if !errors.Is(err, fs.ErrNotExist) {
		return files, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return files, err
	}
	authority, authorityKey, err := certificate("Daybook node authority", nil, nil, nil)
	if err != nil {
		return files, err
	}
	own, key, err := certificate("Daybook node", hosts, authority, authorityKey)
	if err != nil {
		return files, err
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return files, err
	}
	// The authority's key is not kept: nobody can make more under its name.
	for _, file := range []struct {
		path, kind string
		bytes      []byte
	}{{files.Key, "EC PRIVATE KEY", encoded}, {files.Cert, "CERTIFICATE", own.Raw}, {files.Authority, "CERTIFICATE", authority.Raw}} {
		if err := os.WriteFile(file.path, pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.bytes}), 0o600); err != nil {
			return files, err
		}
	}
	return files, nil
}

// certificate makes one, signed by its parent, or an authority without one.
func certificate(name string, hosts []string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-clockDrift), NotAfter: now.AddDate(certificateYears, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	signer := parentKey
	if parent == nil {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	made, err := x509.ParseCertificate(raw)
	return made, key, err
}
