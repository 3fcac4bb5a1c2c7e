// A list of any length, of which the page holds no more than what is in view, a row above and one below.

var lyco = lyco || {};

lyco.List = class {
    /**
     * box: the element that scrolls. ask(offset, limit): a promise of {total, cards}.
     * draw(card): a tile. size(): {width, height, gap} of a tile at least, in pixels.
     */
    constructor(box, ask, draw, size) {
        Object.assign(this, {box, ask, draw, size});
        this.pageSize = 60;
        this.total = 0;
        this.pages = new Map();
        this.tiles = new Map();
        this.current = 0;
        this.epoch = 0;
        this.room = lyco.make("div", {class: "lyco-room"});
        box.replaceChildren(this.room);
        box.addEventListener("scroll", () => this.render(), {passive: true});
        box.addEventListener("keydown", (event) => this.onKey(event));
        box.addEventListener("focusin", (event) => this.onFocus(event));
        this.load = lyco.later(40, () => this.loadMissing());
        new ResizeObserver(() => this.layout()).observe(box);
    }

    /** Shows the answer to another question, from its beginning. */
    restart() {
        this.pages.clear();
        this.current = 0;
        this.box.scrollTop = 0;
        return this.reload();
    }

    /** Asks for all that is in view once more; what has changed is drawn anew, in its place. */
    reload() {
        this.epoch += 1;
        return this.loadMissing();
    }

    layout() {
        if (!this.box.clientWidth) {
            return;
        }
        const {width, height, gap} = this.size(this.box.clientWidth);
        const inner = this.box.clientWidth - gap;
        this.columns = Math.max(1, Math.floor(inner / (width + gap)));
        this.tileWidth = Math.floor(inner / this.columns) - gap;
        Object.assign(this, {tileHeight: height, gap});
        this.render();
        this.tiles.forEach((tile, place) => this.put(tile, place));
    }

    put(tile, place) {
        const row = Math.floor(place / this.columns);
        const column = place % this.columns;
        tile.style.width = `${this.tileWidth}px`;
        tile.style.height = `${this.tileHeight}px`;
        tile.style.left = `${this.gap + column * (this.tileWidth + this.gap)}px`;
        tile.style.top = `${this.gap + row * (this.tileHeight + this.gap)}px`;
        tile.setAttribute("aria-posinset", place + 1);
        tile.setAttribute("aria-setsize", this.total);
    }

    /** The first place in view and the first behind it. */
    range() {
        const height = this.tileHeight + this.gap;
        const first = Math.floor(this.box.scrollTop / height) - 1;
        const last = Math.ceil((this.box.scrollTop + this.box.clientHeight) / height) + 1;
        return [Math.max(0, first * this.columns), Math.min(this.total, last * this.columns)];
    }

    render() {
        if (!this.columns) {
            return;
        }
        const rows = Math.ceil(this.total / this.columns);
        this.room.style.height = `${rows * (this.tileHeight + this.gap) + this.gap}px`;
        const [first, end] = this.range();
        for (const [place, tile] of this.tiles) {
            if (place < first || place >= end) {
                tile.remove();
                this.tiles.delete(place);
            }
        }
        let isMissing = false;
        for (let place = end - 1, next = null; place >= first; place--) {
            const card = this.cardAt(place);
            isMissing ||= this.pages.get(Math.floor(place / this.pageSize))?.epoch !== this.epoch;
            next = card ? this.tileAt(place, card, next) : next;
        }
        this.markCurrent();
        if (isMissing) {
            this.load();
        }
    }

    cardAt(place) {
        return this.pages.get(Math.floor(place / this.pageSize))?.cards[place % this.pageSize];
    }

    /** The tile of a card, before the next one in the page, so that it is read in the right order. */
    tileAt(place, card, next) {
        const old = this.tiles.get(place);
        const says = JSON.stringify(card);
        if (old?.says === says) {
            return old;
        }
        const tile = this.draw(card);
        tile.says = says;
        tile.place = place;
        this.put(tile, place);
        this.tiles.set(place, tile);
        if (old) {
            const focused = old.contains(document.activeElement);
            old.replaceWith(tile);
            if (focused) {
                tile.querySelector(".lyco-toggle").focus({preventScroll: true});
            }
        } else {
            this.room.insertBefore(tile, next);
        }
        return tile;
    }

    async loadMissing() {
        const epoch = this.epoch;
        const [first, end] = this.columns ? this.range() : [0, 0];
        const from = Math.floor(first / this.pageSize);
        const to = Math.max(from, Math.floor((end - 1) / this.pageSize));
        const asked = [];
        for (let page = from; page <= to; page++) {
            const known = this.pages.get(page);
            if (known?.epoch !== epoch && known?.asked !== epoch) {
                this.pages.set(page, {cards: known?.cards ?? [], epoch: known?.epoch, asked: epoch});
                asked.push(this.loadPage(page, epoch));
            }
        }
        await Promise.all(asked);
    }

    async loadPage(page, epoch) {
        const answer = await this.ask(page * this.pageSize, this.pageSize);
        if (epoch !== this.epoch) {
            return;
        }
        if (answer === null) {
            this.pages.get(page).asked = undefined;
            return;
        }
        this.pages.set(page, {cards: answer.cards, epoch});
        this.total = answer.total;
        const kept = [...this.pages.keys()].sort((one, other) => Math.abs(one - page) - Math.abs(other - page));
        kept.slice(20).forEach((far) => this.pages.delete(far));
        this.render();
    }

    onFocus(event) {
        const tile = event.target.closest(".lyco-tile");
        if (tile) {
            this.current = tile.place;
            this.markCurrent();
        }
    }

    /** One tile alone is reached by the tabulator; the arrows go on from there. */
    markCurrent() {
        const place = this.tiles.has(this.current) ? this.current : Math.min(...this.tiles.keys());
        this.tiles.forEach((tile) => {
            tile.querySelectorAll("button").forEach((button) => {
                button.tabIndex = tile.place === place ? 0 : -1;
            });
        });
    }

    onKey(event) {
        const page = Math.max(1, Math.floor(this.box.clientHeight / (this.tileHeight + this.gap))) * this.columns;
        const steps = {
            ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
            PageUp: -page, PageDown: page, Home: -this.total, End: this.total,
        };
        if (event.key in steps && !event.altKey && !event.ctrlKey && !event.metaKey) {
            event.preventDefault();
            this.focus(this.current + steps[event.key]);
        }
    }

    /** Brings a place into view and its tile under the keyboard. */
    async focus(place) {
        this.current = Math.min(Math.max(place, 0), this.total - 1);
        const height = this.tileHeight + this.gap;
        const top = Math.floor(this.current / this.columns) * height;
        if (top < this.box.scrollTop) {
            this.box.scrollTop = top;
        } else if (top + height + this.gap > this.box.scrollTop + this.box.clientHeight) {
            this.box.scrollTop = top + height + this.gap - this.box.clientHeight;
        }
        this.render();
        await this.loadMissing();
        this.tiles.get(this.current)?.querySelector(".lyco-toggle").focus({preventScroll: true});
    }
};
