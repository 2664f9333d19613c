package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

func (p *peer) writeRecord(plaintext []byte) error {
	sealed, err := p.sending.Encrypt(nil, nil, plaintext)
	if err != nil {
		return err
	}
	if p.sending.Nonce()%rekeyEvery == 0 {
		p.sending.Rekey()
	}
	p.report.RecordsSent++
	_, err = p.writer.Write(message(sealed))
	return err
}

func (p *peer) readRecord(largest uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.reader, head[:]); err != nil {
		return nil, fmt.Errorf("the stream ended without CLOSE: %w", err)
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length&controlBit != 0 {
		return nil, errors.New("a control frame outside records")
	}
	if length < minRecord || length > largest {
		return nil, fmt.Errorf("a record of %d bytes", length)
	}
	sealed := make([]byte, length)
	if _, err := io.ReadFull(p.reader, sealed); err != nil {
		return nil, fmt.Errorf("a record is cut short: %w", err)
	}
	plaintext, err := p.receiving.Decrypt(nil, nil, sealed)
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", p.receiving.Nonce(), err)
	}
	if p.receiving.Nonce()%rekeyEvery == 0 {
		p.receiving.Rekey()
	}
	p.report.RecordsReceived++
	return plaintext, nil
}

// send cuts a frame into records of the sizes that the test asked for, in turn.
func (p *peer) send(frame []byte) error {
	for len(frame) > 0 {
		size := p.segments[p.segment%len(p.segments)]
		p.segment++
		if size > len(frame) {
			size = len(frame)
		}
		if err := p.writeRecord(frame[:size]); err != nil {
			return err
		}
		frame = frame[size:]
	}
	return nil
}

func (p *peer) take(size int) ([]byte, error) {
	for len(p.plaintext) < size {
		plaintext, err := p.readRecord(maxRecord)
		if err != nil {
			return nil, err
		}
		p.plaintext = append(p.plaintext, plaintext...)
	}
	taken := p.plaintext[:size:size]
	p.plaintext = p.plaintext[size:]
	return taken, nil
}

// readFrame returns a message with opcode 0, or a control frame.
func (p *peer) readFrame() (opcode byte, body []byte, err error) {
	head, err := p.take(4)
	if err != nil {
		return 0, nil, err
	}
	length := binary.LittleEndian.Uint32(head)
	size := int(length &^ controlBit)
	if length&controlBit == 0 {
		if size > maxMessage {
			return 0, nil, fmt.Errorf("a message of %d bytes", size)
		}
		body, err = p.take(size)
		return 0, body, err
	}
	if size < 1 || size > maxControl {
		return 0, nil, fmt.Errorf("a control frame of %d bytes", size)
	}
	if body, err = p.take(size); err != nil {
		return 0, nil, err
	}
	return body[0], body[1:], nil
}
