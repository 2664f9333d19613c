package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/flynn/noise"
)

type pattern struct {
	number    byte
	handshake noise.HandshakePattern
	lengths   []int
}

var patterns = map[string]pattern{
	"NNpsk0": {1, noise.HandshakeNN, []int{48, 48}},
	"XK":     {2, noise.HandshakeXK, []int{48, 48, 64}},
	"XX":     {3, noise.HandshakeXX, []int{32, 96, 64}},
}

func (p *peer) readHandshakeFrame() ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(p.reader, head[:]); err != nil {
		return nil, fmt.Errorf("no handshake frame: %w", err)
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length&controlBit == 0 {
		return nil, errors.New("a message frame during the handshake")
	}
	size := length &^ controlBit
	if size < 1 || size > maxControl {
		return nil, errors.New("a control frame of a forbidden length")
	}
	body := make([]byte, size-1)
	if _, err := io.ReadFull(p.reader, body); err != nil {
		return nil, fmt.Errorf("a handshake frame is cut short: %w", err)
	}
	if head[4] == opClose && len(body) >= 2 {
		return nil, fmt.Errorf("plaintext CLOSE %d", binary.LittleEndian.Uint16(body))
	}
	if head[4] != opHandshake {
		return nil, fmt.Errorf("opcode %#x during the handshake", head[4])
	}
	return body, nil
}

func (p *peer) refuse(code int, err error) error {
	body := append(u16(code), 0)
	if _, err := p.writer.Write(control(opClose, body)); err != nil {
		return err
	}
	p.discard()
	return err
}

func (p *peer) discard() {
	p.writer.Flush()
	p.conn.CloseWrite()
	io.Copy(io.Discard, p.conn)
}

func (p *peer) config(preamble []byte) (noise.Config, error) {
	prologue := append([]byte{}, preamble...)
	prologue = append(prologue, u16(len(p.context))...)
	config := noise.Config{
		CipherSuite:  noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256),
		Random:       rand.Reader,
		Pattern:      p.handshake,
		Initiator:    p.client,
		Prologue:     append(prologue, p.context...),
		PresharedKey: p.psk,
		PeerStatic:   p.remote,
	}
	if len(p.static) > 0 {
		// The library makes a key pair of what this reader gives it.
		pair, err := noise.DH25519.GenerateKeypair(bytes.NewReader(p.static))
		if err != nil {
			return config, err
		}
		config.StaticKeypair = pair
	}
	return config, nil
}

func (p *peer) doHandshake() error {
	preamble := append([]byte(magic), 1, p.number)
	config, err := p.config(preamble)
	if err != nil {
		return err
	}
	state, err := noise.NewHandshakeState(config)
	if err != nil {
		return err
	}
	var first, second *noise.CipherState
	for step, length := range p.lengths {
		var body []byte
		if step == 0 {
			body = preamble
		}
		if p.client == (step%2 == 0) {
			if body, first, second, err = state.WriteMessage(body, nil); err != nil {
				return p.refuse(codeRefused, err)
			}
			if _, err := p.writer.Write(control(opHandshake, body)); err != nil {
				return err
			}
			continue
		}
		received, err := p.readHandshakeFrame()
		if err != nil {
			return err
		}
		if step == 0 {
			if !bytes.HasPrefix(received, []byte(magic)) {
				return errors.New("the magic is missing")
			}
			if !bytes.HasPrefix(received, preamble) {
				return p.refuse(codeVersion, errors.New("another version or pattern"))
			}
			received = received[len(preamble):]
		}
		if len(received) != length {
			err = fmt.Errorf("message %d has %d bytes", step, len(received))
			return p.refuse(codeRefused, err)
		}
		if _, first, second, err = state.ReadMessage(nil, received); err != nil {
			return p.refuse(codeRefused, fmt.Errorf("handshake message %d: %w", step, err))
		}
	}
	p.sending, p.receiving = first, second
	if !p.client {
		p.sending, p.receiving = second, first
	}
	p.report.Hash = hex.EncodeToString(state.ChannelBinding())
	p.report.PeerStatic = hex.EncodeToString(state.PeerStatic())
	return nil
}
