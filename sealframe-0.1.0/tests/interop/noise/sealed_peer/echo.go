package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

func hello(clientID string) []byte {
	body := append([]byte(magic), 1)
	body = append(body, field(fieldMaxFrame, u32(maxMessage))...)
	if clientID != "" {
		body = append(body, field(fieldClientID, []byte(clientID))...)
	}
	return body
}

func (p *peer) takeHello(body []byte) error {
	prefix := append([]byte(magic), 1)
	if len(body) > maxHello || !bytes.HasPrefix(body, prefix) {
		return errors.New("HELLO or WELCOME is malformed")
	}
	found, err := fields(body[len(prefix):])
	if err != nil {
		return err
	}
	if value := found[fieldMaxFrame]; len(value) == 4 {
		p.report.MaxFrame = binary.LittleEndian.Uint32(value)
	}
	p.report.ClientID = string(found[fieldClientID])
	return nil
}

func (p *peer) greet() error {
	if p.client {
		// HELLO goes alone, in one record, whatever sizes the test asked for.
		if err := p.writeRecord(control(opHello, hello(""))); err != nil {
			return err
		}
	} else {
		var err error
		if p.plaintext, err = p.readRecord(firstRecord); err != nil {
			return err
		}
	}
	opcode, body, err := p.readFrame()
	if err != nil {
		return err
	}
	if opcode == opClose {
		return p.takeClose(body)
	}
	expected := byte(opWelcome)
	if !p.client {
		expected = opHello
		if len(p.plaintext) > 0 {
			return errors.New("the first record holds more than HELLO")
		}
	}
	if opcode != expected {
		return fmt.Errorf("opcode %#x instead of %#x", opcode, expected)
	}
	if err := p.takeHello(body); err != nil {
		return err
	}
	if !p.client {
		return p.send(control(opWelcome, hello("go-1")))
	}
	return nil
}

func (p *peer) takeClose(body []byte) error {
	if len(body) < 3 || len(body) < 3+int(body[2]) {
		return errors.New("CLOSE is cut short")
	}
	p.report.CloseCode = binary.LittleEndian.Uint16(body)
	p.report.CloseReason = string(body[3 : 3+int(body[2])])
	found, err := fields(body[3+int(body[2]):])
	if value := found[fieldFramesReceived]; err == nil && len(value) == 8 {
		p.report.FramesCounted = binary.LittleEndian.Uint64(value)
	}
	if p.report.CloseCode != 0 && p.report.MaxFrame == 0 {
		return fmt.Errorf("CLOSE %d instead of WELCOME", p.report.CloseCode)
	}
	return err
}

func (p *peer) sendClose() error {
	body := append([]byte{0, 0, 3}, "bye"...)
	body = append(body, field(fieldFramesReceived, u64(p.report.Messages))...)
	return p.send(control(opClose, body))
}

func (p *peer) echo() error {
	closed := false
	if err := p.send(control(opPad, make([]byte, 4))); err != nil {
		return err
	}
	if err := p.send(control(opPing, []byte("echo"))); err != nil {
		return err
	}
	for {
		opcode, body, err := p.readFrame()
		if err != nil {
			return err
		}
		switch opcode {
		case 0:
			p.report.Messages++
			if !closed {
				err = p.send(message(body))
			}
			if p.closing > 0 && p.report.Messages == uint64(p.closing) {
				closed = true
				err = p.sendClose()
			}
		case opPing:
			if !closed {
				err = p.send(control(opPong, body))
			}
		case opPong:
			if string(body) == "echo" {
				p.report.Pongs++
			}
		case opGoaway, opUnsupported, opPad:
		case opClose:
			if err = p.takeClose(body); err == nil && !closed {
				err = p.sendClose()
			}
			if err == nil {
				p.discard()
			}
			return err
		default:
			err = fmt.Errorf("opcode %#x", opcode)
		}
		if err != nil {
			return err
		}
	}
}
