// Pens that draw the graph: on a canvas, or as an SVG to keep.

// All take scene units; the transform is set once by begin.
class CanvasPen {
  constructor(context) {
    this.context = context;
  }

  begin(width, height, theme, ratio, view) {
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.paper;
    context.fillRect(0, 0, width, height);
    context.translate(view.x, view.y);
    context.scale(view.zoom, view.zoom);
  }

  box(x, y, width, height, { fill, alpha = 1, stroke, line = 1, dash = [], radius = 4 }) {
    const { context } = this;
    context.beginPath();
    context.roundRect(x, y, width, height, radius);
    if (fill) {
      context.globalAlpha = alpha;
      context.fillStyle = fill;
      context.fill();
      context.globalAlpha = 1;
    }
    if (!stroke) return;
    context.strokeStyle = stroke;
    context.lineWidth = line;
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }

  // Slanted lines, 9 apart, from the scene's own origin: neighbouring boxes fit together.
  hatch(x, y, width, height, stroke) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.roundRect(x, y, width, height, 4);
    context.clip();
    context.beginPath();
    for (let at = x - height - ((x - height) % 9); at < x + width; at += 9) {
      context.moveTo(at, y + height);
      context.lineTo(at + height, y);
    }
    context.strokeStyle = stroke;
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    context.stroke();
    context.restore();
  }

  path(points, { stroke, line = 1, dash = [], arrow = true }) {
    const { context } = this;
    context.beginPath();
    context.moveTo(points[0], points[1]);
    eachCurve(points, (a, b, c, d, x, y) => context.bezierCurveTo(a, b, c, d, x, y));
    context.strokeStyle = stroke;
    context.lineWidth = line;
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
    if (!arrow) return;
    const x = points[points.length - 2], y = points[points.length - 1];
    context.beginPath();
    context.moveTo(x, y), context.lineTo(x - 3.5, y - 7), context.lineTo(x + 3.5, y - 7);
    context.fillStyle = stroke;
    context.fill();
  }

  text(x, y, text, { fill, font, most, clear }) {
    const { context } = this;
    context.font = font;
    const shown = most == null ? text : fitted(context, text, most);
    if (clear) {
      context.fillStyle = clear;
      context.fillRect(x - 3, y - 12, context.measureText(shown).width + 6, 16);
    }
    context.fillStyle = fill;
    context.fillText(shown, x, y);
    return context.measureText(shown).width;
  }
}

class SvgPen {
  constructor(context) {
    this.context = context; // measures text
  }

  begin(width, height, theme, _ratio, view) {
    this.group = s("g", { transform: `translate(${view.x} ${view.y}) scale(${view.zoom})` });
    const paper = s("rect", { width, height, fill: theme.paper });
    this.svg = s("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` }, paper, this.group);
  }

  box(x, y, width, height, { fill = "none", alpha = 1, stroke, line = 1, dash = [], radius = 4 }) {
    this.group.append(s("rect", {
      x, y, width, height, rx: radius, fill, "fill-opacity": alpha, stroke: stroke ?? "none",
      "stroke-width": line, "stroke-dasharray": dash.join(" ") || null,
    }));
  }

  hatch(x, y, width, height, stroke) {
    let d = "";
    for (let at = x - height + 9; at < x + width; at += 9) {
      const low = Math.max(at, x), high = Math.min(at + height, x + width);
      if (high > low) d += `M${low} ${y + height - (low - at)}L${high} ${y + height - (high - at)}`;
    }
    this.group.append(s("path", { d, stroke, "stroke-opacity": 0.55 }));
  }

  path(points, { stroke, line = 1, dash = [], arrow = true }) {
    let d = `M${points[0]} ${points[1]}`;
    eachCurve(points, (...numbers) => (d += `C${numbers.join(" ")}`));
    this.group.append(s("path", { d, fill: "none", stroke, "stroke-width": line, "stroke-dasharray": dash.join(" ") || null }));
    const x = points[points.length - 2], y = points[points.length - 1];
    if (arrow) this.group.append(s("path", { d: `M${x} ${y}l-3.5 -7h7z`, fill: stroke }));
  }

  text(x, y, text, { fill, font, most }) {
    this.context.font = font;
    const shown = most == null ? text : fitted(this.context, text, most);
    this.group.append(s("text", { x, y, fill, style: `font:${font}` }, shown));
    return this.context.measureText(shown).width;
  }
}

function eachCurve(points, curve) {
  for (let at = 2; at < points.length; at += 2) {
    const x = points[at - 2], y = points[at - 1], nextX = points[at], nextY = points[at + 1];
    const middle = (y + nextY) / 2;
    curve(x, middle, nextX, middle, nextX, nextY);
  }
}
